//! The journal against a vector, under random operations with reopens between.

use std::{collections::BTreeMap, ops::ControlFlow};

use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use super::basics::{Plain, fast, read_after, row, scratch};
use crate::journal::{Compression, Journal, age::BlockSize, store::Settings, tile::Census};

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<(u32, i64, Vec<u8>)>),
    Read(u64),
    /// Without closing: as after a kill.
    Reopen,
    CloseAndReopen,
    Tidy,
    Compress {
        older_than_ms: i64,
        tail_bytes: u64,
    },
    Drop {
        before_ms: i64,
        upto: u64,
        at_most: usize,
    },
    RaiseEnd(u64),
    Put(u8, Vec<u8>),
    Remove(u8),
}

const DAY_MS: i64 = 86_400_000;

fn op() -> impl Strategy<Value = Op> {
    let time = || prop_oneof![4 => 0..100_i64, 1 => DAY_MS..DAY_MS + 100];
    let body = || prop_oneof![vec(any::<u8>(), 0..40), (any::<u8>(), 300..900_usize).prop_map(|(b, n)| vec![b; n])];
    prop_oneof![
        6 => vec((1..5_u32, time(), body()), 0..4).prop_map(Op::Append),
        2 => (0..60_u64).prop_map(Op::Read),
        2 => Just(Op::Reopen),
        1 => Just(Op::CloseAndReopen),
        1 => Just(Op::Tidy),
        3 => (time(), 0..4000_u64).prop_map(|(older_than_ms, tail_bytes)| Op::Compress { older_than_ms, tail_bytes }),
        2 => (time(), 0..80_u64, 0..6_usize)
            .prop_map(|(before_ms, upto, at_most)| Op::Drop { before_ms, upto, at_most }),
        1 => (0..20_u64).prop_map(Op::RaiseEnd),
        1 => (0..4_u8, body()).prop_map(|(key, body)| Op::Put(key, body)),
        1 => (0..4_u8).prop_map(Op::Remove),
    ]
}

#[derive(Debug, Default)]
struct Model {
    rows: Vec<Plain>,
    end: u64,
    lost: u64,
    carries: BTreeMap<Vec<u8>, Vec<u8>>,
}

struct Pair {
    dir: TempDir,
    journal: Option<Journal>,
    model: Model,
}

fn settings() -> Settings {
    Settings { block: BlockSize { bytes: 1500, rows: 5 }, wal_bytes: 20_000, at_once_bytes: 600, ..fast() }
}

impl Pair {
    fn new() -> Self {
        let dir = scratch();
        let mut pair = Self { dir, journal: None, model: Model::default() };
        pair.reopen();
        pair
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().unwrap()
    }

    fn reopen(&mut self) {
        self.journal = None;
        let (journal, opened) = Journal::open_with(self.dir.path(), "a test", settings()).unwrap();
        assert_eq!((opened.end, opened.lost, opened.cut), (self.model.end, self.model.lost, None));
        self.journal = Some(journal);
    }

    /// What the journal keeps in mind is what its file adds up to.
    fn check_census(&mut self) {
        let journal = self.journal();
        let (kept, found) = (journal.census, Census::take(&journal.db, journal.end()).unwrap());
        assert!(kept.raw_from <= found.raw_from && kept.oldest_ms <= found.oldest_ms, "{kept:?} {found:?}");
        assert!(kept.newest_ms >= found.newest_ms, "{kept:?} {found:?}");
        let bounds =
            Census { raw_from: found.raw_from, oldest_ms: found.oldest_ms, newest_ms: found.newest_ms, ..kept };
        assert_eq!(bounds, found);
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Append(rows) => self.append(rows),
            Op::Read(after) => self.check_from(*after),
            Op::Reopen => self.reopen(),
            Op::CloseAndReopen => {
                self.journal.take().unwrap().close().unwrap();
                self.reopen();
            }
            Op::Tidy => self.journal().tidy().unwrap(),
            Op::Compress { older_than_ms, tail_bytes } => {
                let policy = Compression { older_than_ms: *older_than_ms, tail_bytes: *tail_bytes };
                self.journal().compress(policy).unwrap();
            }
            Op::Drop { before_ms, upto, at_most } => self.drop_rows(*before_ms, *upto, *at_most),
            Op::RaiseEnd(by) => {
                let to = (self.model.end + by).saturating_sub(5);
                self.journal().raise_end(to).unwrap();
                self.model.lost += to.saturating_sub(self.model.end);
                self.model.end = self.model.end.max(to);
            }
            Op::Put(key, body) => {
                self.journal().put_carry(&[*key], body).unwrap();
                self.model.carries.insert(vec![*key], body.clone());
            }
            Op::Remove(key) => {
                let removed = self.model.carries.remove(&vec![*key]).is_some();
                assert_eq!(self.journal().remove_carry(&[*key]).unwrap(), removed);
            }
        }
        assert_eq!(self.journal().end(), self.model.end);
        self.check_census();
    }

    fn append(&mut self, rows: &[(u32, i64, Vec<u8>)]) {
        for (events, newest_ms, body) in rows {
            self.model.rows.push((self.model.end + 1, *events, *newest_ms, body.clone()));
            self.model.end += u64::from(*events);
        }
        let rows: Vec<_> = rows.iter().map(|(events, newest_ms, body)| row(*events, *newest_ms, body)).collect();
        let end = self.model.end;
        assert_eq!(self.journal().append(&rows).unwrap(), end);
    }

    fn drop_rows(&mut self, before_ms: i64, upto: u64, at_most: usize) {
        let may_go = |r: &Plain| r.2 < before_ms && r.0 + u64::from(r.1) - 1 <= upto;
        let droppable = self.journal().droppable(before_ms, upto).unwrap();
        let dropped = self.journal().drop_rows(before_ms, upto, at_most).unwrap();
        assert!(dropped <= at_most);
        assert_eq!(droppable && at_most > 0, dropped > 0);
        let left = read_after(self.journal(), 0);
        let gone: Vec<_> = self.model.rows.iter().filter(|r| !left.contains(r)).collect();
        assert!(gone.iter().all(|r| may_go(r)), "{gone:?} went, before {before_ms} up to {upto}");
        if dropped < at_most {
            assert!(!self.journal().droppable(before_ms, upto).unwrap());
            let blocks = self.journal().stats().rows < left.len() as u64;
            assert!(blocks || !left.iter().any(may_go), "{left:?} stayed, before {before_ms} up to {upto}");
        }
        self.model.rows.retain(|r| left.contains(r));
        assert_eq!(left, self.model.rows);
    }

    fn check_from(&mut self, after: u64) {
        let expected: Vec<_> = self.model.rows.iter().filter(|r| r.0 + u64::from(r.1) - 1 > after).cloned().collect();
        assert_eq!(read_after(self.journal(), after), expected, "after {after}");
    }

    fn check_all(&mut self) {
        self.check_from(0);
        let mut carries = BTreeMap::new();
        let read = self.journal().carries(&mut |entry| {
            carries.insert(entry.key.to_vec(), entry.body.to_vec());
            ControlFlow::Continue(())
        });
        read.unwrap();
        assert_eq!(carries, self.model.carries);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_is_a_vector_that_survives(ops in vec(op(), 1..60)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.apply(op);
        }
        pair.check_all();
        pair.reopen();
        pair.check_all();
    }
}
