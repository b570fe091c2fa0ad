//! A small journal, cut at every byte and flipped at every byte: all that was acknowledged before the damage comes
//! back, or a clear refusal; never a gap, wrong bytes or a panic.

use std::{fs, ops::ControlFlow, path::Path, thread};

use super::basics::{Plain, fast, read_after, row, scratch};
use crate::journal::{AppendError, Compression, Cut, Journal, age::BlockSize, store::Settings};

fn settings() -> Settings {
    Settings { block: BlockSize { bytes: 500, rows: 8 }, at_once_bytes: 400, ..fast() }
}

fn open(dir: &Path) -> Journal {
    Journal::open_with(dir, "a test", settings()).unwrap().0
}

/// The files of a journal, and what it had acknowledged after each write to its write-ahead log.
struct Image {
    db: Vec<u8>,
    wal: Vec<u8>,
    states: Vec<(Vec<Plain>, Vec<Vec<u8>>)>,
}

fn carries(journal: &mut Journal) -> Result<Vec<Vec<u8>>, String> {
    let mut all = Vec::new();
    let read = journal.carries(&mut |entry| {
        all.push([entry.key, entry.body].concat());
        ControlFlow::Continue(())
    });
    all.sort();
    read.map(|()| all).map_err(|error| error.to_string())
}

/// Every kind of record: rows, a block of several and of one, a dropped range, a lost range, carry-over, free pages; with `wal`, newer writes
/// that are in the write-ahead log alone.
fn image(wal: bool) -> Image {
    let dir = scratch();
    let mut journal = open(dir.path());
    for i in 0..6_i64 {
        journal.append(&[row(2, i, &[i as u8; 200]), row(1, 90 + i, b"small")]).unwrap();
    }
    assert!(journal.compress(Compression { older_than_ms: 10, tail_bytes: 0 }).unwrap());
    journal.append(&[row(1, 1, &[9; 400])]).unwrap();
    assert!(journal.drop_rows(3, 99, 99).unwrap() > 0);
    journal.raise_end(40).unwrap();
    journal.put_carry(b"key", &[3; 40]).unwrap();
    journal.append(&[row(3, 7, &[8; 50])]).unwrap();
    journal.close().unwrap();
    let mut journal = open(dir.path());
    let mut states = Vec::new();
    let mut note = |journal: &mut Journal| states.push((read_after(journal, 0), carries(journal).unwrap()));
    note(&mut journal);
    if wal {
        for i in 0..2_u8 {
            journal.append(&[row(1, 5, &[i; 30]), row(2, 5, &[i; 300])]).unwrap();
            note(&mut journal);
        }
        journal.put_carry(b"new", b"entry").unwrap();
        note(&mut journal);
    }
    drop(journal);
    let file = |name| fs::read(dir.path().join(name)).unwrap_or_default();
    let image = Image { db: file("journal.db"), wal: file("journal.db-wal"), states };
    assert_eq!(image.wal.is_empty(), !wal);
    image
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Refused(String),
    /// Which of the states came back.
    State(usize, Option<Cut>),
}

/// Opens what is in `dir` and reads everything; panics at anything that was never there.
fn open_and_read(dir: &Path, image: &Image) -> Outcome {
    let (mut journal, opened) = match Journal::open_with(dir, "a test", settings()) {
        Ok(open) => open,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let mut rows: Vec<Plain> = Vec::new();
    let read = journal.read(0, &mut |r| {
        rows.push((r.first, r.events, r.newest_ms, r.body.to_vec()));
        ControlFlow::Continue(())
    });
    let newest = &image.states[image.states.len() - 1].0;
    assert!(newest.starts_with(&rows), "not a prefix of what was written: {rows:?}");
    let carried = read.map_err(|error| error.to_string()).and_then(|()| carries(&mut journal));
    let carried = match carried {
        Ok(carried) => carried,
        Err(error) => return Outcome::Refused(error),
    };
    let state = image.states.iter().position(|state| (&state.0, &state.1) == (&rows, &carried));
    let state = state.unwrap_or_else(|| panic!("no state that ever was: {rows:?} {carried:?}"));
    if state + 1 == image.states.len() {
        append_more(dir, journal, rows);
    }
    Outcome::State(state, opened.cut)
}

/// What is accepted on top of damage that nobody saw is read back too, or refused.
fn append_more(dir: &Path, mut journal: Journal, mut rows: Vec<Plain>) {
    let body = [0xee; 700];
    let Ok(end) = journal.append(&[row(1, 1, &body)]) else { return };
    rows.push((end, 1, 1, body.to_vec()));
    drop(journal);
    let Ok((mut journal, _)) = Journal::open_with(dir, "a test", settings()) else { return };
    let mut again: Vec<Plain> = Vec::new();
    let read = journal.read(0, &mut |r| {
        again.push((r.first, r.events, r.newest_ms, r.body.to_vec()));
        ControlFlow::Continue(())
    });
    assert!(rows.starts_with(&again), "{again:?}");
    assert!(read.is_err() || again.len() == rows.len(), "{} of {} rows", again.len(), rows.len());
}

/// Damages one file at every byte, in turn, in both ways, and hands each outcome to `judge`.
fn at_every_byte(image: &Image, name: &str, judge: &(dyn Fn(&str, Outcome) + Sync)) {
    let whole = if name == "journal.db" { &image.db } else { &image.wal };
    let threads = thread::available_parallelism().map_or(2, |n| n.get());
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let dir = scratch();
                for at in (thread..whole.len()).step_by(threads) {
                    let mut flipped = whole.clone();
                    flipped[at] ^= 1 << (at % 8);
                    for (how, bytes) in [("flipped", flipped.as_slice()), ("cut", &whole[..at])] {
                        fs::write(dir.path().join("journal.db"), &image.db).unwrap();
                        fs::write(dir.path().join("journal.db-wal"), &image.wal).unwrap();
                        fs::write(dir.path().join(name), bytes).unwrap();
                        judge(&format!("{how} at {at}"), open_and_read(dir.path(), image));
                    }
                }
            });
        }
    });
}

#[test]
fn a_damaged_main_file_gives_everything_or_is_refused() {
    let image = image(false);
    at_every_byte(&image, "journal.db", &|place, outcome| match outcome {
        Outcome::Refused(words) => assert!(words.contains("journal.db"), "{place}: {words}"),
        Outcome::State(0, None) => assert!(place.starts_with("flipped"), "{place} was not noticed"),
        other => panic!("{place}: {other:?}"),
    });
}

#[test]
fn a_damaged_main_file_under_a_write_ahead_log_gives_everything_or_is_refused() {
    let image = image(true);
    let newest = image.states.len() - 1;
    at_every_byte(&image, "journal.db", &|place, outcome| match outcome {
        Outcome::Refused(words) => assert!(words.contains("journal.db"), "{place}: {words}"),
        Outcome::State(state, None) => assert_eq!(state, newest, "{place}"),
        other => panic!("{place}: {other:?}"),
    });
}

#[test]
fn a_damaged_write_ahead_log_gives_whole_groups_up_to_the_damage_and_says_what_was_cut() {
    let image = image(true);
    let newest = image.states.len() - 1;
    at_every_byte(&image, "journal.db-wal", &|place, outcome| match outcome {
        Outcome::Refused(words) => panic!("{place}: {words}"),
        Outcome::State(state, cut) if place.starts_with("flipped") => {
            let lost = (newest - state) as u64;
            let commits = cut.map_or(0, |cut| cut.commits);
            // A flip in the very mark of a commit hides that one, or makes one up.
            assert!(commits.abs_diff(lost) <= 1, "{place}: {lost} groups lost, {cut:?}");
            assert_eq!(cut.is_some(), lost > 0, "{place}");
        }
        Outcome::State(state, cut) => {
            assert!(cut.is_none_or(|cut| cut.commits == 0), "{place}: {state}, {cut:?}");
        }
    });
}

#[test]
fn a_cut_is_reported_once() {
    let image = image(true);
    let dir = scratch();
    fs::write(dir.path().join("journal.db"), &image.db).unwrap();
    let mut damaged = image.wal.clone();
    damaged[60] ^= 1;
    fs::write(dir.path().join("journal.db-wal"), &damaged).unwrap();
    let (_, opened) = Journal::open_with(dir.path(), "a test", settings()).unwrap();
    let cut = opened.cut.unwrap();
    assert_eq!((cut.accepted_pages, cut.commits), (0, image.states.len() as u64 - 1));
    assert_eq!(cut.bytes, damaged.len() as u64 - 32);
    let mut journal = open(dir.path());
    journal.append(&[row(1, 1, b"after the cut")]).unwrap();
    drop(journal);
    assert_eq!(Journal::open_with(dir.path(), "a test", settings()).unwrap().1.cut, None);
}

/// Else new rows would be written over old ones.
#[test]
fn a_header_that_counts_too_few_pages_is_refused() {
    let image = image(false);
    let dir = scratch();
    let mut damaged = image.db;
    let pages = u32::from_be_bytes(damaged[28..32].try_into().unwrap());
    assert_eq!(pages as usize * 512, damaged.len());
    damaged[28..32].copy_from_slice(&(pages - 1).to_be_bytes());
    fs::write(dir.path().join("journal.db"), &damaged).unwrap();
    let refused = Journal::open_with(dir.path(), "a test", settings()).err().unwrap().to_string();
    let words = format!("it is {} bytes long where its header says {}", damaged.len(), damaged.len() - 512);
    assert!(refused.contains(&words), "{refused}");
    assert_eq!(fs::read(dir.path().join("journal.db")).unwrap(), damaged, "a refused file stays as it was");
}

/// Rows of 3,000 bytes each, of which these cannot be read: the pages that they overflow into cannot be followed.
fn with_damaged_rows(dir: &Path, rows: u8, damaged: &[u8]) -> Journal {
    let unpacked = || super::basics::open(dir);
    let mut journal = unpacked();
    for i in 0..rows {
        journal.append(&[row(1, i64::from(i), &[i; 3000])]).unwrap();
    }
    journal.close().unwrap();
    let file = dir.join("journal.db");
    let mut content = fs::read(&file).unwrap();
    for i in damaged {
        let pages = content.chunks_mut(512).filter(|page| page[4..].iter().all(|byte| byte == i));
        let found = pages.map(|page| page[..4].fill(0xff)).count();
        assert!(found > 2, "row {i} has {found} pages of its own");
    }
    fs::write(file, content).unwrap();
    unpacked()
}

#[test]
fn rows_that_cannot_be_read_are_left_and_those_behind_them_are_dropped() {
    let dir = scratch();
    let mut journal = with_damaged_rows(dir.path(), 9, &[3, 5]);
    let mut outcomes = Vec::new();
    while outcomes.len() < 9 && journal.droppable(7, 99).unwrap() {
        outcomes.push(journal.drop_rows(7, 99, 2).map_err(|error| assert!(matches!(error, AppendError::Damaged(_)))));
    }
    // Rows 0 and 1; 2 with 3; 2 and 4; 5 with 6; 6.
    assert_eq!(outcomes, [Ok(2), Err(()), Ok(2), Err(()), Ok(1)]);
    assert_eq!(journal.stats().rows, 4);
    drop(journal);
    let mut journal = open(dir.path());
    assert!(journal.droppable(7, 99).unwrap(), "they are tried again");
    assert_eq!(read_after(&mut journal, 7), [(8, 1, 7, vec![7; 3000]), (9, 1, 8, vec![8; 3000])]);
}

#[test]
fn rows_behind_one_that_cannot_be_read_are_compressed() {
    let dir = scratch();
    let settings = Settings { block: BlockSize { bytes: 12_000, rows: 8 }, ..fast() };
    drop(with_damaged_rows(dir.path(), 9, &[1]));
    let (mut journal, _) = Journal::open_with(dir.path(), "a test", settings).unwrap();
    let policy = Compression { older_than_ms: 99, tail_bytes: 0 };
    assert!(matches!(journal.compress(policy), Err(AppendError::Damaged(_))));
    // Of rows 2 to 8, in blocks of four and of three.
    assert_eq!([(); 3].map(|()| journal.compress(policy).unwrap()), [true, true, false]);
    assert_eq!(journal.stats().rows, 4);
    assert_eq!(read_after(&mut journal, 2)[0], (3, 1, 2, vec![2; 3000]));
}
