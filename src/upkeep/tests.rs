//! What each look finds, one kind of damage at a time.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Exported, Listener, Report, UpkeepError, export, rebuild, verify};
use crate::event::{AccountSid, Event, EventKind, EventSid, HOUR_MS, Millis, WorkspaceSid};
use crate::journal::{Journal, Row, checkpoint};
use crate::pipeline::row;

const NOW: Millis = Millis(1_800_000_000_000);
const RETENTION_MS: i64 = 10 * HOUR_MS;

#[derive(Default)]
struct Heard(Vec<String>);

impl Listener for Heard {
    fn progress(&mut self, position: u64, of: u64) {
        assert!(position <= of);
    }

    fn finding(&mut self, words: String) {
        self.0.push(words);
    }
}

/// An event that happened so many hours ago.
fn event(n: u8, hours: i64) -> Event {
    Event {
        sid: EventSid::from_bytes([n; 16]),
        kind: EventKind::WorkspaceUpdated,
        at: NOW.minus(hours * HOUR_MS),
        account: AccountSid::from_bytes([1; 16]),
        workspace: WorkspaceSid::from_bytes([1; 16]),
        task: None,
        reservation: None,
        worker: None,
        activity: None,
    }
}

fn append(journal: &mut Journal, events: u32, body: &[u8]) {
    journal.append(&[Row { events, newest_ms: NOW.0, body, ends: None }]).unwrap();
}

/// A journal of three rows with an event each, of 1, 2 and 3 hours ago; and what else is done to it.
fn with(more: impl FnOnce(&mut Journal)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(dir.path(), "a test").unwrap();
    for n in 1..=3 {
        append(&mut journal, 1, &row::encode(&[event(n, i64::from(n))], NOW));
    }
    more(&mut journal);
    journal.close().unwrap();
    dir
}

fn sql(dir: &TempDir, statement: &str) {
    let db = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    assert!(db.execute(statement, []).unwrap() > 0);
}

fn looked(dir: &Path) -> (Report, String) {
    let mut heard = Heard::default();
    let report = verify(dir, NOW, RETENTION_MS, &mut heard).unwrap();
    (report, heard.0.join("\n"))
}

fn assert_found(dir: &TempDir, words: &str) -> Report {
    let (report, heard) = looked(dir.path());
    assert!(report.findings > 0 && heard.contains(words), "{heard:?}; expected {words}");
    report
}

fn checkpoint_of(dir: &TempDir) -> PathBuf {
    let mut files = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
    files.find(|path| path.to_string_lossy().contains("checkpoint-")).unwrap()
}

#[test]
fn of_a_sound_directory_there_is_nothing_to_say() {
    let dir = with(|_| {});
    rebuild(dir.path(), RETENTION_MS, &mut Heard::default()).unwrap();
    let (report, heard) = looked(dir.path());
    assert_eq!((report.findings, heard.as_str()), (0, ""));
    assert_eq!((report.end, report.rows, report.safe, report.checkpoint), (Some(3), 3, vec![(1, 3)], Some(3)));
    assert!(report.start.is_ok());
}

#[test]
fn rows_and_carry_overs_are_read_to_their_end() {
    let rubbish = with(|journal| append(journal, 1, b"no event"));
    let report = assert_found(&rubbish, "the row of positions 4 to 4 cannot be read");
    assert!(report.safe == [(1, 3)] && report.start.is_err());
    let short = with(|journal| append(journal, 2, &row::encode(&[event(4, 1)], NOW)));
    assert_found(&short, "it holds 1 of 2 entries");
    let carry = with(|journal| journal.put_carry(b"nobody's", b"nothing").unwrap());
    assert_found(&carry, "the carry-over \"nobody\\'s\" cannot be read");
    sql(&carry, "UPDATE carry SET body = zeroblob(length(body))");
    let (report, heard) = looked(carry.path());
    assert!(report.findings > 0 && !heard.contains("cannot be read"), "its checksum comes first: {heard}");
}

#[test]
fn a_journal_that_a_start_refuses_is_said_to_be() {
    let dir = with(|_| {});
    sql(&dir, "DELETE FROM headers WHERE first = 2");
    let (report, _) = looked(dir.path());
    assert!(report.start.is_err() && report.findings > 0, "{report:?}");
}

/// What SQLite itself keeps, and no checksum of ours covers.
#[test]
fn the_file_is_looked_at_by_sqlite_too() {
    let dir = with(|_| {});
    let path = dir.path().join("journal.db");
    let mut file = fs::read(&path).unwrap();
    // The number of free pages, in the header.
    file[39] ^= 1;
    fs::write(&path, file).unwrap();
    assert_found(&dir, "SQLite says of its file");
}

#[test]
fn checkpoints_are_read_to_their_end() {
    let dir = with(|_| {});
    checkpoint::write(dir.path(), 2, |draft| draft.section(b"rubbish")).unwrap();
    assert_found(&dir, "cannot be read");
    let path = checkpoint_of(&dir);
    let mut file = fs::read(&path).unwrap();
    let last = file.len() - 1;
    file[last] ^= 1;
    fs::write(&path, file).unwrap();
    assert_found(&dir, "is damaged");
}

#[test]
fn a_journal_that_ends_before_its_checkpoint_has_lost_its_end() {
    let longer = with(|journal| append(journal, 1, &row::encode(&[event(4, 1)], NOW)));
    rebuild(longer.path(), RETENTION_MS, &mut Heard::default()).unwrap();
    let dir = with(|_| {});
    let checkpoint = checkpoint_of(&longer);
    fs::copy(&checkpoint, dir.path().join(checkpoint.file_name().unwrap())).unwrap();
    assert_found(&dir, "the journal ends at position 3, the checkpoint at 4: its end is lost");
}

#[test]
fn a_checkpoint_is_derived_anew_for_the_retention_that_the_old_one_names() {
    let dir = with(|_| {});
    let rebuilt = |retention_ms| rebuild(dir.path(), retention_ms, &mut Heard::default()).unwrap().retention_ms;
    assert_eq!(rebuilt(RETENTION_MS), RETENTION_MS);
    assert_eq!(rebuilt(2 * RETENTION_MS), RETENTION_MS);
    fs::remove_file(checkpoint_of(&dir)).unwrap();
    assert_eq!(rebuilt(2 * RETENTION_MS), 2 * RETENTION_MS);
}

#[test]
fn an_export_is_of_what_is_not_older_than_asked_for_and_stops_at_damage() {
    let dir = with(|journal| append(journal, 1, b"no event"));
    let exported = |oldest: Millis, skip: bool| {
        let mut hours = Vec::new();
        let mut sink = |event: &Event| {
            hours.push((NOW.0 - event.at.0) / HOUR_MS);
            Ok(())
        };
        let done = export(dir.path(), oldest, skip, &mut Heard::default(), &mut sink);
        (done, hours)
    };
    let (done, hours) = exported(NOW.minus(2 * HOUR_MS), true);
    let expected = Exported { events: 2, too_old: 1, skipped: 1, ..Exported::default() };
    assert_eq!((done.unwrap(), hours), (expected, vec![1, 2]));
    let (done, hours) = exported(Millis::MIN, false);
    assert!(matches!(done, Err(UpkeepError::Undecoded { first: 4, last: 4, .. })), "{done:?}");
    assert_eq!(hours, [1, 2, 3]);
}
