//! A journal copied out and in: the same, whatever was written meanwhile; and never one that is not whole.

use std::{ops::ControlFlow, path::Path};

use super::basics::{Plain, read_after, row, scratch};
use crate::journal::{Compression, CopyIn, Journal, Row};

/// Every kind of record: rows, a block, a dropped range, a lost one, carry-overs.
fn journal(dir: &Path) -> Journal {
    let (mut journal, _) = Journal::open(dir, "a test").unwrap();
    for i in 0..600_i64 {
        journal.append(&[row(2, 1 + i / 300, &[i as u8; 200]), row(1, 90 + i, b"small")]).unwrap();
    }
    assert!(journal.compress(Compression { older_than_ms: i64::MAX, tail_bytes: 0 }).unwrap());
    journal.append(&[row(1, 1, &[9; 400])]).unwrap();
    assert!(journal.drop_rows(2, 9999, 99).unwrap() > 0);
    journal.raise_end(journal.end() + 40).unwrap();
    for i in 0..20_u8 {
        journal.put_carry(&[b'k', i], &[3; 4000]).unwrap();
    }
    journal.append(&[row(3, 7, &[8; 50])]).unwrap();
    journal
}

fn carries(journal: &mut Journal) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let each = &mut |entry: crate::journal::Carry<'_>| {
        all.push([entry.key, entry.body].concat());
        ControlFlow::Continue(())
    };
    journal.carries(each).unwrap();
    all.sort();
    all
}

fn state(journal: &mut Journal) -> (u64, Vec<Plain>, Vec<Vec<u8>>) {
    (journal.end(), read_after(journal, 0), carries(journal))
}

/// All pieces, with `between` done after each.
fn copied(journal: &mut Journal, bytes: usize, mut between: impl FnMut(&mut Journal)) -> Vec<u8> {
    let mut copy = journal.begin_copy();
    let mut all = Vec::new();
    while let Some(piece) = journal.copy_piece(&mut copy, bytes).unwrap() {
        all.extend(piece);
        between(journal);
    }
    all
}

#[test]
fn a_copy_is_what_was_there_when_it_began_whatever_comes_meanwhile() {
    for bytes in [1, 3_000, 1 << 20] {
        let (from, to) = (scratch(), scratch());
        let mut journal = journal(from.path());
        let before = state(&mut journal);
        let copy = copied(&mut journal, bytes, |journal| {
            journal.append(&[row(1, 5, b"newer")]).unwrap();
        });
        assert!(journal.end() > before.0);
        let mut incoming = CopyIn::create(to.path(), "a test").unwrap();
        for piece in copy.chunks(777) {
            incoming.take(piece).unwrap();
        }
        assert_eq!(incoming.finish().unwrap(), before.0);
        let (mut there, opened) = Journal::open(to.path(), "a test").unwrap();
        assert_eq!(state(&mut there), before);
        assert_eq!(opened.lost, 40);
        there.append(&[row(1, 5, b"after it")]).unwrap();
    }
}

#[test]
fn a_copy_that_is_cut_or_changed_is_never_taken_for_a_journal() {
    let from = scratch();
    let mut journal = journal(from.path());
    let copy = copied(&mut journal, 1 << 20, |_| {});
    for step in 0..60 {
        let at = step * (copy.len() - 1) / 59;
        let mut changed = copy.clone();
        changed[at] ^= 1 << (step % 8);
        for bytes in [&copy[..at], &changed] {
            let to = scratch();
            let mut incoming = CopyIn::create(to.path(), "a test").unwrap();
            let outcome = incoming.take(bytes).and_then(|()| incoming.finish());
            assert!(outcome.is_err(), "at {at}");
            let opened = Journal::open(to.path(), "a test");
            assert!(opened.is_err() || opened.is_ok_and(|(journal, _)| journal.end() == 0), "at {at}");
        }
    }
    // Rows of a copy that did not end are refused by whoever opens it.
    let to = scratch();
    let mut incoming = CopyIn::create(to.path(), "a test").unwrap();
    incoming.take(&copy[..copy.len() - 1]).unwrap();
    drop(incoming);
    assert!(Journal::open(to.path(), "a test").is_err());
}

#[test]
fn what_ends_others_takes_their_carry_overs_and_outlives_every_row_before() {
    let dir = scratch();
    let (mut journal, _) = Journal::open(dir.path(), "a test").unwrap();
    journal.append(&[row(1, 500, b"dated ahead"), row(1, 10, b"old")]).unwrap();
    for key in [&b"ab/1"[..], b"ab/2", b"abc", b"aa"] {
        journal.put_carry(key, b"body").unwrap();
    }
    journal.append(&[Row { events: 1, newest_ms: 20, body: b"the end of ab/", ends: Some(b"ab/") }]).unwrap();
    assert_eq!(carries(&mut journal), [&b"aabody"[..], b"abcbody"]);
    assert_eq!(journal.drop_rows(500, u64::MAX, 99).unwrap(), 1, "the old row alone: the end stays with what it ends");
    assert_eq!(journal.drop_rows(501, u64::MAX, 99).unwrap(), 2);
}
