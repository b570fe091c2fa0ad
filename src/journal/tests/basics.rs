//! One promise each, on a directory of its own.

use std::{fs, ops::ControlFlow, path::Path};

use tempfile::TempDir;

use crate::journal::{
    AppendError, Carry, Compression, Journal, OpenError, Row,
    age::BLOCK_SIZE,
    store::{FORMAT, Settings},
};

pub(super) type Plain = (u64, u32, i64, Vec<u8>);

pub(super) fn fast() -> Settings {
    Settings { page_bytes: 512, sync: false, wal_bytes: 64 << 10, block: BLOCK_SIZE, at_once_bytes: usize::MAX }
}

/// A directory in memory where the system has one: thousands of small files are written to it.
pub(super) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

pub(super) fn open(dir: &Path) -> Journal {
    Journal::open_with(dir, "a test", fast()).unwrap().0
}

pub(super) fn read_after(journal: &mut Journal, after: u64) -> Vec<Plain> {
    let mut all = Vec::new();
    journal
        .read(after, &mut |r| {
            all.push((r.first, r.events, r.newest_ms, r.body.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    all
}

pub(super) fn row(events: u32, newest_ms: i64, body: &[u8]) -> Row<'_> {
    Row { events, newest_ms, body, ends: None }
}

pub(super) fn carry<'a>(key: &'a [u8], body: &'a [u8]) -> Carry<'a> {
    Carry { key, body }
}

#[test]
fn what_was_appended_is_read_back_in_order_after_reopening() {
    let dir = TempDir::new().unwrap();
    let (mut journal, opened) = Journal::open(dir.path(), "a test").unwrap();
    assert!(opened.created);
    assert_eq!((journal.end(), read_after(&mut journal, 0)), (0, vec![]));
    assert_eq!(journal.append(&[row(2, 70, b"ab"), row(1, 50, b"")]).unwrap(), 3);
    assert_eq!(journal.append(&[]).unwrap(), 3);
    assert_eq!(journal.append(&[row(4, 60, &[7; 100_000])]).unwrap(), 7);
    let all = vec![(1, 2, 70, b"ab".to_vec()), (3, 1, 50, vec![]), (4, 4, 60, vec![7; 100_000])];
    assert_eq!(read_after(&mut journal, 0), all);
    drop(journal);
    let (mut journal, opened) = Journal::open(dir.path(), "a test").unwrap();
    assert_eq!((opened.created, opened.end, opened.rows, opened.cut), (false, 7, 3, None));
    assert_eq!(read_after(&mut journal, 0), all);
    assert_eq!(read_after(&mut journal, 3), all[2..]);
    assert_eq!(read_after(&mut journal, 7), []);
}

#[test]
fn a_second_holder_is_told_who_holds_the_directory() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("LOCK"), "process 1 since the stone age: stale words, much longer than ours ".repeat(9))
        .unwrap();
    let _held = Journal::open(dir.path(), "serving on port 50051").unwrap();
    let refused = Journal::open(dir.path(), "another").err().unwrap().to_string();
    let expected = format!("in use by process {} since ", std::process::id());
    assert!(refused.contains(&expected) && refused.ends_with("serving on port 50051"), "{refused}");
    drop(_held);
    Journal::open(dir.path(), "another").unwrap();
}

#[test]
fn a_full_disk_refuses_and_then_works_again() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    journal.append(&[row(1, 1, &[1; 3000])]).unwrap();
    let before = read_after(&mut journal, 0);
    let pages: i64 = journal.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    journal.db.pragma_update_and_check(None, "max_page_count", pages + 2, |_| Ok(())).unwrap();
    for _ in 0..3 {
        let refused = journal.append(&[row(1, 2, b"fits"), row(3, 2, &[2; 9000])]);
        assert!(matches!(refused, Err(AppendError::Refused { .. })), "{refused:?}");
        assert!(matches!(journal.probe(), Err(AppendError::Refused { .. })));
        assert_eq!((journal.end(), read_after(&mut journal, 0)), (1, before.clone()));
    }
    journal.db.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(())).unwrap();
    journal.probe().unwrap();
    assert_eq!(journal.append(&[row(3, 2, &[2; 9000])]).unwrap(), 4);
    drop(journal);
    assert_eq!(read_after(&mut open(dir.path()), 1), [(2, 3, 2, vec![2; 9000])]);
}

#[test]
fn after_a_lost_write_every_write_fails_and_reading_goes_on() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    journal.append(&[row(1, 1, b"kept")]).unwrap();
    let lost = journal.transact("fail", 0, |db, _, _| {
        db.execute("INSERT INTO bodies VALUES (99, x'00')", [])?;
        let failed = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        Err::<(), _>(rusqlite::Error::SqliteFailure(failed, None).into())
    });
    assert!(matches!(lost, Err(AppendError::Lost { .. })), "{lost:?}");
    assert!(matches!(journal.append(&[row(1, 1, b"more")]), Err(AppendError::Lost { .. })));
    assert!(matches!(journal.probe(), Err(AppendError::Lost { .. })));
    assert!(matches!(journal.put_carry(b"k", b"v"), Err(AppendError::Lost { .. })));
    assert_eq!(read_after(&mut journal, 0), [(1, 1, 1, b"kept".to_vec())]);
}

#[test]
fn an_unknown_format_is_refused_naming_both() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path());
    journal.db.pragma_update(None, "user_version", FORMAT + 41).unwrap();
    journal.close().unwrap();
    let refused = Journal::open(dir.path(), "a test").err().unwrap();
    assert!(matches!(&refused, OpenError::Format { found: 42, supported: FORMAT, .. }), "{refused}");
    let words = refused.to_string();
    assert!(words.contains("version 42") && words.contains(&format!("version {FORMAT}")), "{words}");
}

#[test]
fn a_log_that_is_gone_is_not_taken_for_a_fresh_start() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    journal.append(&[row(1, 1, b"x")]).unwrap();
    drop(journal);
    fs::remove_file(dir.path().join("journal.db")).unwrap();
    let refused = Journal::open(dir.path(), "a test").err().unwrap().to_string();
    assert!(refused.contains("journal.db is damaged: it is missing"), "{refused}");
}

#[test]
fn a_missing_row_is_named() {
    for (gone, words) in
        [(1, "positions 1 to 2 are missing"), (3, "positions 3 to 3 are missing"), (4, "positions 4 to 7 are missing")]
    {
        let dir = TempDir::new().unwrap();
        let mut journal = open(dir.path());
        journal.append(&[row(2, 1, b"a"), row(1, 1, b"b"), row(4, 1, b"c")]).unwrap();
        journal.db.execute("DELETE FROM headers WHERE first = ?1", [gone]).unwrap();
        journal.close().unwrap();
        let refused = Journal::open(dir.path(), "a test").err().unwrap().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn old_rows_are_dropped_whole_and_the_end_stays() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    journal.append(&[row(2, 10, b"a"), row(1, 50, b"b"), row(4, 20, b"c"), row(1, 10, b"d")]).unwrap();
    assert!(!journal.droppable(10, 8).unwrap());
    assert!(!journal.droppable(100, 1).unwrap(), "a row that reaches beyond `upto` stays");
    assert!(journal.droppable(11, 8).unwrap());
    assert_eq!(journal.drop_rows(50, 7, 1).unwrap(), 1);
    assert_eq!(journal.drop_rows(50, 7, 9).unwrap(), 1);
    assert_eq!(journal.drop_rows(50, 7, 9).unwrap(), 0);
    drop(journal);
    let mut journal = open(dir.path());
    assert_eq!(read_after(&mut journal, 0), [(3, 1, 50, b"b".to_vec()), (8, 1, 10, b"d".to_vec())]);
    assert_eq!(read_after(&mut journal, 5), [(8, 1, 10, b"d".to_vec())]);
    assert_eq!(journal.drop_rows(51, 8, 9).unwrap(), 2);
    let gaps: i64 = journal.db.query_row("SELECT count(*) FROM gaps", [], |row| row.get(0)).unwrap();
    assert_eq!((gaps, journal.end()), (1, 8));
    assert_eq!(journal.append(&[row(1, 60, b"e")]).unwrap(), 9);
    drop(journal);
    assert_eq!(read_after(&mut open(dir.path()), 0), [(9, 1, 60, b"e".to_vec())]);
}

#[test]
fn a_raised_end_skips_positions_for_ever() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    journal.append(&[row(2, 1, b"a")]).unwrap();
    journal.raise_end(2).unwrap();
    journal.raise_end(10).unwrap();
    journal.raise_end(5).unwrap();
    assert_eq!(journal.append(&[row(1, 1, b"b")]).unwrap(), 11);
    drop(journal);
    let (mut journal, opened) = Journal::open_with(dir.path(), "a test", fast()).unwrap();
    assert_eq!((opened.end, opened.lost), (11, 8));
    for after in 2..11 {
        assert_eq!(read_after(&mut journal, after), [(11, 1, 1, b"b".to_vec())]);
    }
}

#[test]
fn blocks_yield_the_rows_that_went_in() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    let bodies: Vec<Vec<u8>> = (0..40u8).map(|i| vec![i; 60_000]).collect();
    for (i, body) in bodies.iter().enumerate() {
        journal.append(&[row(3, 1_000 + i as i64, body)]).unwrap();
    }
    let all = read_after(&mut journal, 0);
    let before = journal.stats();
    let policy = Compression { older_than_ms: 0, tail_bytes: 600_000 };
    let mut slices = 0;
    while journal.compress(policy).unwrap() {
        slices += 1;
        assert_eq!(read_after(&mut journal, 0), all);
    }
    assert_eq!((slices, journal.stats().rows), (2, 2 + 40 - 2 * 17));
    assert!(journal.stats().body_bytes < before.body_bytes / 4, "{:?}", journal.stats());
    drop(journal);
    let mut journal = open(dir.path());
    for after in 0..120 {
        let expected: Vec<_> = all.iter().filter(|r| r.0 + 2 > after).cloned().collect();
        assert_eq!(read_after(&mut journal, after), expected, "after {after}");
    }
    assert!(!journal.droppable(1_017 - 1, 120).unwrap(), "a block goes with its newest row");
    assert_eq!(journal.drop_rows(1_017, 120, 9).unwrap(), 1);
    assert_eq!(read_after(&mut journal, 0), all[17..]);
}

#[test]
fn a_long_row_is_packed_at_once_and_a_short_one_with_others() {
    let dir = TempDir::new().unwrap();
    let open = || Journal::open_with(dir.path(), "a test", Settings { at_once_bytes: 1_000, ..fast() }).unwrap().0;
    let mut journal = open();
    let (long, short) = (vec![7; 50_000], vec![8; 999]);
    let noise: Vec<u8> =
        (0..250_u64).flat_map(|i| xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes()).to_le_bytes()).collect();
    for _ in 0..2 {
        journal.append(&[row(3, 5, &long), row(1, 6, &short), row(2, 7, &noise)]).unwrap();
    }
    let expected =
        |first| [(first, 3, 5, long.clone()), (first + 3, 1, 6, short.clone()), (first + 4, 2, 7, noise.clone())];
    let all: Vec<Plain> = expected(1).into_iter().chain(expected(7)).collect();
    assert_eq!(read_after(&mut journal, 0), all);
    let raw_bytes = 2 * (short.len() + noise.len()) as u64;
    assert_eq!(journal.stats().raw_bytes, raw_bytes, "noise is no shorter packed");
    assert!(journal.stats().body_bytes < raw_bytes + 1_000, "{:?}", journal.stats());
    let old = Compression { older_than_ms: 100, tail_bytes: 0 };
    while journal.compress(old).unwrap() {}
    assert_eq!(journal.stats().raw_bytes, raw_bytes / 2, "those at the end wait for more");
    journal.append(&[row(3, 8, &long)]).unwrap();
    while journal.compress(old).unwrap() {}
    assert_eq!(journal.stats().raw_bytes, 0);
    drop(journal);
    let mut journal = open();
    assert_eq!(read_after(&mut journal, 0)[..6], all);
    assert!(!journal.compress(old).unwrap(), "nothing is left to pack");
}

#[test]
fn rows_of_other_ages_get_blocks_of_their_own() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    let day = 24 * 60 * 60 * 1000;
    for i in 0..8 {
        journal.append(&[row(1, day * [20, 1][i % 2], &[5; 10_000])]).unwrap();
    }
    while journal.compress(Compression { older_than_ms: day * 25, tail_bytes: 0 }).unwrap() {}
    assert_eq!(journal.drop_rows(day * 2, 8, 99).unwrap(), 4);
    assert_eq!(read_after(&mut journal, 0).len(), 4);
}

#[test]
fn the_carry_over_is_complete_or_refused() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    journal.put_carries(&[carry(b"a", b"1"), carry(b"b", b"2"), carry(b"a", b"3")]).unwrap();
    journal.put_carry(b"c", &[9; 5000]).unwrap();
    assert!(journal.remove_carry(b"b").unwrap());
    assert!(!journal.remove_carry(b"b").unwrap());
    drop(journal);
    let mut journal = open(dir.path());
    let mut all = Vec::new();
    let mut each = |c: Carry<'_>| {
        all.push((c.key.to_vec(), c.body.to_vec()));
        ControlFlow::Continue(())
    };
    journal.carries(&mut each).unwrap();
    all.sort();
    assert_eq!(all, [(b"a".to_vec(), b"3".to_vec()), (b"c".to_vec(), vec![9; 5000])]);
    journal.db.execute("DELETE FROM carry WHERE key = x'61'", []).unwrap();
    let refused = journal.carries(&mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(refused.contains("1 entries are there, 2 were written"), "{refused}");
}

#[test]
fn space_freed_by_dropping_is_used_again() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    let mut largest = 0;
    for i in 0..400_i64 {
        journal.append(&[row(1, i, &[i as u8; 8000])]).unwrap();
        journal.drop_rows(i - 20, u64::MAX, 4).unwrap();
        journal.tidy().unwrap();
        if i == 100 {
            largest = journal.stats().file_bytes;
        }
    }
    journal.tidy().unwrap();
    assert!(journal.stats().file_bytes < largest * 3 / 2, "{:?} after {largest}", journal.stats());
    let wal = fs::metadata(dir.path().join("journal.db-wal")).unwrap().len();
    assert!(wal <= 3 * fast().wal_bytes, "{wal}");
}

#[test]
fn the_journal_may_move_to_its_thread() {
    fn moves<T: Send>(value: T) -> T {
        value
    }
    let dir = scratch();
    let mut journal = moves(open(dir.path()));
    let end = std::thread::spawn(move || journal.append(&[row(2, 1, b"x")]).unwrap()).join().unwrap();
    assert_eq!(end, 2);
}

/// On a real full disk, for machines that have a small one to fill: a few MiB, mounted for this and named by
/// `TASKTALLY_SMALL_DISK`.
#[test]
#[ignore = "needs a small file system of its own"]
fn a_disk_that_is_really_full_refuses_and_then_works_again() {
    let disk = std::env::var("TASKTALLY_SMALL_DISK").unwrap();
    let dir = tempfile::tempdir_in(&disk).unwrap();
    let (mut journal, _) = Journal::open(dir.path(), "a test").unwrap();
    let filler = Path::new(&disk).join("filler");
    fs::write(&filler, vec![1; 1 << 20]).unwrap();
    let body = vec![7; 65_000];
    let mut end = 0;
    let refused = loop {
        match journal.append(&[row(1, 1, &body)]) {
            Ok(new) => end = new,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Refused { .. }), "{refused}");
    assert!(matches!(journal.probe(), Err(AppendError::Refused { .. })));
    assert!(end > 5 && journal.end() == end, "{end}");
    drop(journal);
    let (mut journal, opened) = Journal::open(dir.path(), "a test").unwrap();
    assert_eq!((opened.end, read_after(&mut journal, 0).len() as u64), (end, end), "opened on the full disk");
    assert!(matches!(journal.append(&[row(1, 1, &body)]), Err(AppendError::Refused { .. })));
    fs::remove_file(&filler).unwrap();
    journal.probe().unwrap();
    assert_eq!(journal.append(&[row(1, 1, &body)]).unwrap(), end + 1);
    drop(journal);
    let (mut journal, opened) = Journal::open(dir.path(), "a test").unwrap();
    assert_eq!((opened.end, opened.cut.map_or(0, |cut| cut.commits)), (end + 1, 0));
    assert_eq!(read_after(&mut journal, 0).len() as u64, end + 1);
}
