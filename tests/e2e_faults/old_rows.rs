//! Rows that are needed no more and cannot be read: what they say is in memory and in the checkpoint. A server that ended
//! itself over them would do so again after each start. And reads that a commit cannot do without.

use std::ops::Range;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use tasktally::event::HOUR_MS;
use tasktally::journal::Journal;
use tonic::Code;

use super::bed::{Bed, points};
use crate::common::details::assert_told;
use crate::common::events::now_ms;
use crate::common::eventually;
use crate::faults::{Action, Rule, errno, files, kinds};

/// Too few for a block.
const ROWS: usize = 50;
/// So few that a row of them is not compressed by itself, and so many that it has a page of its own.
const EVENTS_A_ROW: u64 = 200;
pub const LONG: [&str; 4] = ["--retention", "30d", "--checkpoint-interval", "1s"];
/// Under which rows of three hours ago are to be dropped.
pub const SHORT: [&str; 4] = ["--retention", "1h", "--checkpoint-interval", "1s"];

/// A server that keeps rows of three hours ago for a month. Each batch is one row of more than a page.
pub async fn with_old_rows(rows: usize) -> Bed {
    let mut bed = Bed::with_events_until(now_ms() - 3 * HOUR_MS, &LONG).await;
    bed.batch = EVENTS_A_ROW;
    for _ in 0..rows {
        bed.accept().await;
    }
    bed
}

/// Where the journal of a server that has ended in order keeps its oldest rows' bodies: nothing is there that a commit
/// has to read.
fn old_bodies(dir: &Path) -> Range<u64> {
    // Opening moves the write-ahead log into the file.
    drop(Journal::open(dir, "a test").expect("the journal opens"));
    let file = format!("file:{}?immutable=1", dir.join("journal.db").display());
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI).unwrap();
    let sql = "SELECT pgoffset FROM dbstat WHERE name = 'bodies' AND pagetype = 'overflow' ORDER BY pgoffset";
    let mut pages = db.prepare(sql).unwrap();
    let pages: Vec<i64> = pages.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(pages.len() >= ROWS, "each row has one: {pages:?}");
    pages[0] as u64..pages[pages.len() / 3] as u64
}

/// The server under this retention has written a checkpoint and dropped nothing yet.
pub async fn expect_dropping(bed: &mut Bed) {
    // The checkpoint needs no write-ahead log, and dropping does.
    bed.faults.tell(Rule::new(Action::Fail(errno::ENOSPC), kinds::WRITE, files::WAL | files::TRIAL));
    bed.start_with(&SHORT).await;
    bed.logs("wrote a checkpoint").await;
    bed.server.kill();
    bed.faults.clear();
    bed.move_on(now_ms());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_that_cannot_be_read_stop_nothing() {
    let mut bed = with_old_rows(ROWS).await;
    bed.stop();
    let bytes = old_bodies(bed.dir.path());
    // The checkpoint spares it reading the rows.
    bed.start().await;
    let unreadable = Rule { bytes, ..Rule::new(Action::Fail(errno::EIO), kinds::READ, files::DB) };
    bed.faults.tell(unreadable.clone());
    // With those, enough for a block.
    for _ in 0..ROWS {
        bed.accept().await;
    }
    bed.logs("an old row of the journal cannot be read; it is left as it is for now").await;
    assert!(bed.faults.hit() > 0, "rows were read");
    bed.serves_again().await;
    bed.accept().await;
    bed.assert_exact("while old rows cannot be read").await;
    bed.assert_sound();
    bed.checkpoint_is_written().await;
    bed.server.kill();
    bed.start().await;
    bed.accept().await;
    bed.assert_exact("after a start while old rows cannot be read").await;
    bed.server.kill();
    // Once they can be read again they become a block.
    bed.faults.tell(Rule { action: Action::Count, ..unreadable });
    bed.start().await;
    eventually("old rows are read", async || (bed.faults.seen() > 0).then_some(())).await;
    // The journal does one thing at a time.
    bed.accept().await;
    bed.stop();
    assert!(bed.rows() < ROWS as u64, "{} rows", bed.rows());
    bed.start().await;
    bed.assert_exact("after the block").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_that_cannot_be_read_to_be_dropped_stop_nothing() {
    let mut bed = with_old_rows(ROWS).await;
    bed.stop();
    let bytes = old_bodies(bed.dir.path());
    expect_dropping(&mut bed).await;
    bed.faults.tell(Rule { bytes, ..Rule::new(Action::Fail(errno::EIO), kinds::READ, files::DB) });
    bed.start().await;
    bed.logs("rows older than the retention cannot be dropped for now").await;
    assert!(bed.faults.hit() > 0, "rows were read");
    bed.serves_again().await;
    bed.accept().await;
    bed.assert_exact("while old rows cannot be dropped").await;
    bed.assert_sound();
    bed.server.kill();
    bed.faults.clear();
    bed.start().await;
    bed.logs("dropped rows older than the retention").await;
    bed.accept().await;
    bed.assert_exact("after they were dropped").await;
    bed.stop();
    assert!(bed.rows() < ROWS as u64, "{} rows", bed.rows());
    bed.remove_checkpoints();
    bed.start().await;
    bed.assert_exact("from what was carried over").await;
}

/// With nothing of the file in memory a commit has to read: where its rows go, and which pages a block left free. Of the
/// latter it reads after it has begun to write, so that what proves the rollback is not in memory either.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_cannot_read_is_refused_and_passes_by_itself() {
    let mut bed = with_old_rows(2 * ROWS).await;
    bed.server.kill();
    if bed.rows() == 2 * ROWS as u64 {
        // A start writes no log, so this is the block.
        bed.faults.tell(Rule::new(Action::Count, kinds::WRITE, files::WAL));
        bed.start().await;
        eventually("a block is made", async || (bed.faults.seen() > 0).then_some(())).await;
        bed.accept().await;
        bed.stop();
    }
    assert!(bed.rows() < ROWS as u64, "{} rows", bed.rows());
    bed.start().await;
    let read = |action| Rule::new(action, kinds::READ, files::DB);
    bed.faults.tell(read(Action::Count));
    bed.accept().await;
    let reads = bed.faults.seen();
    assert!(reads > 0, "a commit reads");
    for nth in points((0..reads).collect(), 8) {
        bed.restart(&[]).await;
        bed.faults.tell(Rule { skip: nth, ..read(Action::Fail(errno::EIO)) });
        let Some(status) = bed.refused_if_hit().await else { continue };
        let told = assert_told(&status, Code::Unavailable, "JOURNAL_UNWRITABLE", true, &[]);
        assert!(told.metadata("cause").contains("the disk fails to read it"), "read {nth}: {told:?}");
        bed.ingest_is_not_serving().await;
        bed.assert_exact(&format!("read {nth} failed")).await;
        bed.assert_sound();
        bed.faults.clear();
        bed.serves_again().await;
        bed.accept().await;
    }
    bed.restart(&[]).await;
    bed.assert_exact("after reads that failed").await;
}
