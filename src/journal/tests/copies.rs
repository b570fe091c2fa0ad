//! A journal copied out and in: the same, whatever was written meanwhile; and never one that is not whole.

use std::{ops::ControlFlow, path::Path};

use super::basics::{Plain, read_after, row, scratch};
use crate::journal::copy::{FRAME_BYTES, frame};
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

/// A frame's kind and content, of which each frame's checksum is right: what only a server that is wrong itself sends.
type Frames = Vec<(u8, Vec<u8>)>;

fn frames(copy: &[u8]) -> Frames {
    let (mut frames, mut rest) = (Frames::new(), copy);
    while let Some((kind, after)) = rest.split_first() {
        let length = u64::from_le_bytes(after[..8].try_into().unwrap()) as usize;
        let end = FRAME_BYTES + length;
        frames.push((*kind, rest[FRAME_BYTES..end].to_vec()));
        rest = &rest[end..];
    }
    frames
}

fn refused(frames: &Frames) -> String {
    let mut copy = Vec::new();
    frames.iter().for_each(|(kind, content)| frame(&mut copy, *kind, &[], &[content]));
    let to = scratch();
    let mut incoming = CopyIn::create(to.path(), "a test").unwrap();
    match incoming.take(&copy).and_then(|()| incoming.finish()) {
        Err(refused) => refused.to_string(),
        Ok(end) => panic!("taken, up to {end}"),
    }
}

#[test]
fn each_frame_of_a_copy_is_judged_by_what_it_says() {
    let from = scratch();
    let sound = frames(&copied(&mut journal(from.path()), 1 << 20, |_| {}));
    let (start, carry, gap, row, end) = (1, 2, 3, 4, 5);
    let position = |kind: u8| sound.iter().position(|(other, _)| *other == kind).unwrap();
    // A number of the first frame of this kind.
    let with = |kind: u8, at: usize, number: u64| {
        let mut changed = sound.clone();
        changed[position(kind)].1[8 * at..8 * at + 8].copy_from_slice(&number.to_le_bytes());
        refused(&changed)
    };
    let without = |kind: u8| {
        let mut changed = sound.clone();
        changed.remove(position(kind));
        refused(&changed)
    };
    let most = u64::MAX;
    for (said, expected) in [
        (with(start, 0, 99), "has journal format 99"),
        (with(start, 1, most), "beyond every position"),
        (with(start, 1, most >> 2), "are missing"),
        (with(start, 3, 7), "carry-overs are missing"),
        (with(carry, 0, most), "no key"),
        (with(gap, 0, most), "no known kind"),
        (with(gap, 1, most), "no known kind"),
        (with(gap, 2, 2), "no known kind"),
        (with(row, 0, 0), "no known kind"),
        (with(row, 0, most), "no known kind"),
        (with(row, 1, 0), "no known kind"),
        (with(row, 1, most), "no known kind"),
        (with(row, 3, 2), "no known kind"),
        (with(row, 4, 7), "a row has a wrong checksum"),
        (without(start), "not in order"),
        (without(carry), "carry-overs are missing"),
        (without(gap), "are missing"),
        (without(row), "are missing"),
        (without(end), "ends too early"),
    ] {
        assert!(said.contains(expected), "{said}; expected {expected}");
    }
    let mut long = vec![row];
    long.extend([255; 16]);
    let to = scratch();
    let refused = CopyIn::create(to.path(), "a test").unwrap().take(&long).unwrap_err().to_string();
    assert!(refused.contains("too long"), "{refused}");
}

#[test]
fn a_row_that_is_damaged_is_not_copied_on() {
    let from = scratch();
    let mut sound = journal(from.path());
    sound.append(&[row(1, 1, &[9; 400])]).unwrap();
    sound.close().unwrap();
    let db = rusqlite::Connection::open(from.path().join("journal.db")).unwrap();
    let changed = "UPDATE bodies SET body = zeroblob(length(body)) WHERE first = (SELECT max(first) FROM bodies)";
    assert_eq!(db.execute(changed, []).unwrap(), 1);
    drop(db);
    let (journal, _) = Journal::open(from.path(), "a test").unwrap();
    let mut copy = journal.begin_copy();
    let refused = journal.copy_piece(&mut copy, 1 << 20).unwrap_err().to_string();
    assert!(refused.contains("damaged"), "{refused}");
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
