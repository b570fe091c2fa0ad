//! Where groups are made durable: the journal on disk, or nowhere at all for tests and demos.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::event::{HOUR_MS, Millis};
use crate::journal::{AppendError, Carry, Compression, Journal, Row};

/// Rows dropped in one slice.
const DROP_SLICE: usize = 64;
/// Bytes of carry-over written in one slice.
const CARRY_SLICE: usize = 1 << 20;
/// How often it is looked for rows that are old enough to be compressed or dropped.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Rows older than this are compressed; younger ones too, once there are more bytes of them than the second.
const COMPRESS_AFTER_MS: i64 = HOUR_MS;
const UNCOMPRESSED_BYTES: u64 = 64 << 20;

/// What a group commit needs of a journal. The writer alone calls it.
pub trait Store: Send {
    /// The position that it ends at.
    fn end(&self) -> u64;
    /// Appends a group and syncs it; answers the position that the journal now ends at.
    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError>;
    /// Tries whether the store can be written again.
    fn probe(&mut self) -> Result<(), AppendError>;
    fn take_chore(&mut self, chore: Chore);
    /// The journal behind it, where there is one to be copied.
    fn journal(&mut self) -> Option<&mut Journal> {
        None
    }
    /// Does a little of what is to be done besides, at this time of day and uptime.
    fn do_slice(&mut self, now: Millis, uptime: Duration) -> Result<Slice, AppendError>;
}

/// What a slice of work came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Whether there is more to do.
    pub more: bool,
    /// Whether there are rows that may be dropped once what must outlive them is carried over.
    pub old_rows: bool,
}

/// What must outlive rows, under its key, as of this position.
pub struct CarriedPart {
    pub key: Vec<u8>,
    pub body: Vec<u8>,
    pub as_of: u64,
}

/// Rows that hold nothing newer may go, once what must outlive them is written.
pub struct Chore {
    /// To be written in this order; the carry-over covers all rows up to `upto`.
    pub carries: VecDeque<CarriedPart>,
    /// Key and body of what says that all of them are written, to be written after them.
    pub seal: Option<(Vec<u8>, Vec<u8>)>,
    /// Carry-overs that are no longer needed.
    pub expired: Vec<Vec<u8>>,
    pub older_than_ms: i64,
    pub upto: u64,
}

impl Chore {
    /// Takes on a newer one before this one is finished. The newer one tells again what has changed since, and only
    /// that, so what is left of this one must be written all the same; each in its place, since the order matters.
    fn join(&mut self, newer: Chore) {
        let Chore { carries, seal, expired, older_than_ms, upto } = newer;
        let places: HashMap<Vec<u8>, usize> = self.carries.iter().map(|part| part.key.clone()).zip(0..).collect();
        for part in carries {
            match places.get(&part.key) {
                Some(at) => self.carries[*at] = part,
                None => self.carries.push_back(part),
            }
        }
        self.seal = seal;
        self.expired.extend(expired);
        self.older_than_ms = older_than_ms;
        self.upto = upto;
    }
}

/// The journal on disk.
pub struct JournalStore {
    journal: Journal,
    chore: Option<Chore>,
    dropped: usize,
    /// When to look for old rows next, in the clock's uptime; not before some time has passed since the start.
    look_at: Option<Duration>,
    retention_ms: i64,
    /// Beginnings of keys of which nothing may be written that is older than the position: what is on its way from
    /// an earlier look must not bring a forgotten workspace back.
    forgotten: Vec<(Vec<u8>, u64)>,
}

impl JournalStore {
    pub fn new(journal: Journal, retention_ms: i64) -> JournalStore {
        JournalStore { journal, chore: None, dropped: 0, look_at: None, retention_ms, forgotten: Vec::new() }
    }

    fn discard_forgotten(&self, carries: &mut VecDeque<CarriedPart>) {
        let is_forgotten = |part: &CarriedPart| {
            self.forgotten.iter().any(|(prefix, position)| part.as_of < *position && part.key.starts_with(prefix))
        };
        carries.retain(|part| !is_forgotten(part));
    }
}

/// Rows of which every event is older than this are of no use any more, also after the clock is set back by an hour. A
/// whole second, since questions begin with one and events are recognised by theirs.
pub fn horizon(now: Millis, retention_ms: i64) -> Millis {
    now.minus(retention_ms + HOUR_MS).second().start()
}

impl Store for JournalStore {
    fn end(&self) -> u64 {
        self.journal.end()
    }

    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        let end = self.journal.append(rows)?;
        let forgotten: Vec<Vec<u8>> = rows.iter().filter_map(|row| Some(row.ends?.to_vec())).collect();
        if !forgotten.is_empty() {
            self.forgotten.extend(forgotten.into_iter().map(|prefix| (prefix, end)));
            let mut chore = self.chore.take();
            if let Some(chore) = &mut chore {
                self.discard_forgotten(&mut chore.carries);
            }
            self.chore = chore;
        }
        Ok(end)
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        self.journal.probe()
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn take_chore(&mut self, mut chore: Chore) {
        self.discard_forgotten(&mut chore.carries);
        // What comes later was looked at later still.
        self.forgotten.retain(|(_, position)| *position > chore.upto);
        match &mut self.chore {
            Some(unfinished) => unfinished.join(chore),
            None => {
                self.chore = Some(chore);
                self.dropped = 0;
            }
        }
    }

    fn do_slice(&mut self, now: Millis, uptime: Duration) -> Result<Slice, AppendError> {
        // Replies are out, so this is when the write-ahead log may be moved into the file.
        self.journal.tidy()?;
        if let Some(chore) = &mut self.chore {
            match prune_slice(&mut self.journal, chore, &mut self.dropped) {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(rows = self.dropped, "dropped rows older than the retention");
                    self.chore = None;
                }
                // What must outlive the rows is written. To end the process over rows of no use would end it again
                // after each start.
                Err(AppendError::Damaged(damage)) if chore.carries.is_empty() && chore.expired.is_empty() => {
                    tracing::error!(%damage, "rows older than the retention cannot be dropped; they are left");
                    self.chore = None;
                }
                Err(error) => return Err(error),
            }
            return Ok(Slice { more: true, old_rows: false });
        }
        if uptime < *self.look_at.get_or_insert(uptime + LOOK_EVERY) {
            return Ok(Slice::default());
        }
        self.journal.check_places()?;
        let old = horizon(now, self.retention_ms).0;
        let old_rows = self.journal.droppable(old, u64::MAX).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look for old rows of the journal");
            false
        });
        let policy = Compression { older_than_ms: now.minus(COMPRESS_AFTER_MS).0, tail_bytes: UNCOMPRESSED_BYTES };
        let more = match self.journal.compress(policy) {
            Ok(more) => more,
            Err(AppendError::Damaged(damage)) => {
                // The state in memory is whole; what is damaged is the means to derive it anew.
                tracing::error!(%damage, "an old row of the journal is damaged; it is left as it is");
                false
            }
            Err(error) => return Err(error),
        };
        if !more {
            self.look_at = Some(uptime + LOOK_EVERY);
        }
        Ok(Slice { more, old_rows })
    }
}

/// Writes carry-overs first, then drops rows; answers whether all is done.
fn prune_slice(journal: &mut Journal, chore: &mut Chore, dropped: &mut usize) -> Result<bool, AppendError> {
    if !chore.carries.is_empty() {
        let mut bytes = 0;
        let slice = chore.carries.iter().take_while(|part| {
            let first = bytes == 0;
            bytes += part.body.len();
            first || bytes <= CARRY_SLICE
        });
        let slice: Vec<Carry<'_>> = slice.map(|part| Carry { key: &part.key, body: &part.body }).collect();
        journal.put_carries(&slice)?;
        let written = slice.len();
        chore.carries.drain(..written);
        return Ok(false);
    }
    if let Some((key, body)) = &chore.seal {
        journal.put_carry(key, body)?;
        chore.seal = None;
        return Ok(false);
    }
    if let Some(key) = chore.expired.pop() {
        journal.remove_carry(&key)?;
        return Ok(false);
    }
    let rows = journal.drop_rows(chore.older_than_ms, chore.upto, DROP_SLICE)?;
    *dropped += rows;
    Ok(rows == 0)
}

/// Keeps nothing but the count: everything is gone when the process ends.
#[derive(Default)]
pub struct Ephemeral {
    end: u64,
}

impl Store for Ephemeral {
    fn end(&self) -> u64 {
        self.end
    }

    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        self.end += rows.iter().map(|row| u64::from(row.events)).sum::<u64>();
        Ok(self.end)
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        Ok(())
    }

    fn take_chore(&mut self, _chore: Chore) {}

    fn do_slice(&mut self, _now: Millis, _uptime: Duration) -> Result<Slice, AppendError> {
        Ok(Slice::default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    use super::*;

    fn store(dir: &std::path::Path) -> JournalStore {
        let (journal, _) = Journal::open(dir, "a test").unwrap();
        JournalStore::new(journal, HOUR_MS)
    }

    fn chore(carries: &[(&str, usize)]) -> Chore {
        chore_as_of(1, carries)
    }

    fn chore_as_of(as_of: u64, carries: &[(&str, usize)]) -> Chore {
        let part =
            |(key, bytes): &(&str, usize)| CarriedPart { key: key.as_bytes().to_vec(), body: vec![0; *bytes], as_of };
        Chore {
            carries: carries.iter().map(part).collect(),
            seal: None,
            expired: Vec::new(),
            older_than_ms: 0,
            upto: as_of,
        }
    }

    /// The lengths of the carry-overs on disk.
    fn carried(store: &mut JournalStore) -> BTreeMap<String, usize> {
        let mut carried = BTreeMap::new();
        let each = &mut |carry: Carry<'_>| {
            carried.insert(String::from_utf8(carry.key.to_vec()).unwrap(), carry.body.len());
            ControlFlow::Continue(())
        };
        store.journal.carries(each).unwrap();
        carried
    }

    fn finish(store: &mut JournalStore) {
        while store.chore.is_some() {
            store.do_slice(Millis(0), Duration::ZERO).unwrap();
        }
    }

    #[test]
    fn a_newer_chore_takes_on_what_is_left_of_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(dir.path());
        store.take_chore(chore(&[("a", 1), ("b", CARRY_SLICE), ("c", 2)]));
        store.do_slice(Millis(0), Duration::ZERO).unwrap();
        store.take_chore(chore(&[("c", 3), ("d", 4)]));
        finish(&mut store);
        let expected = [("a", 1), ("b", CARRY_SLICE), ("c", 3), ("d", 4)];
        assert_eq!(carried(&mut store), BTreeMap::from(expected.map(|(key, bytes)| (key.to_string(), bytes))));
    }

    #[test]
    fn what_was_looked_at_before_a_workspace_was_forgotten_is_not_carried_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(dir.path());
        let row = |ends| Row { events: 1, newest_ms: 1, body: b"row", ends };
        assert_eq!(store.append(&[row(None)]).unwrap(), 1);
        store.take_chore(chore_as_of(1, &[("ab/1", CARRY_SLICE), ("ab/2", 1), ("abc/1", CARRY_SLICE), ("b/1", 1)]));
        store.do_slice(Millis(0), Duration::ZERO).unwrap();
        // Written, and waiting; and one that is on its way.
        let keys = |store: &mut JournalStore| carried(store).into_keys().collect::<Vec<_>>();
        assert_eq!(keys(&mut store), ["ab/1"]);
        assert_eq!(store.append(&[row(None), row(Some(b"ab/"))]).unwrap(), 3);
        store.take_chore(chore_as_of(2, &[("ab/1", 2), ("ab/3", 2), ("b/2", 2)]));
        finish(&mut store);
        assert_eq!(keys(&mut store), ["abc/1", "b/1", "b/2"]);
        // Of its new life.
        store.take_chore(chore_as_of(3, &[("ab/1", 3)]));
        finish(&mut store);
        assert_eq!(keys(&mut store), ["ab/1", "abc/1", "b/1", "b/2"]);
        assert!(store.forgotten.is_empty(), "nothing older can come");
    }

    #[test]
    fn carry_overs_are_written_in_the_order_given_also_where_chores_are_joined() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(dir.path());
        let full = CARRY_SLICE;
        // Each of a slice of its own. "2" must not come before "1", and "3" not before "2".
        store.take_chore(chore(&[("1", full), ("2", full)]));
        store.take_chore(chore(&[("1", full), ("3", full)]));
        for written in 1..=3 {
            store.do_slice(Millis(0), Duration::ZERO).unwrap();
            let keys: Vec<String> = carried(&mut store).into_keys().collect();
            assert_eq!(keys, ["1", "2", "3"][..written]);
        }
    }
}
