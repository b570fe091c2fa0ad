//! A disk that is full for what the journal does besides commits: blocks, carry-over, dropping. (Checkpoints: `keeping.rs`.)

use tonic::Code;

use super::bed::{Bed, points};
use super::old_rows::{expect_dropping, with_old_rows};
use crate::common::details::assert_told;
use crate::faults::{Action, Rule, errno, files, kinds};

/// Enough for a block.
const ROWS: usize = 80;
/// Too few for one.
const DROPPED: usize = 50;

/// The journal's own writes, and its trials whether there is room, after so many.
fn full_after(writes: u64) -> Rule {
    let rule = Rule::new(Action::Fail(errno::ENOSPC), kinds::WRITE, files::WAL | files::TRIAL);
    Rule { skip: writes, ..rule }
}

/// Ingest is refused with the cause, all that was acknowledged is there, and it passes by itself.
async fn is_full_and_passes(bed: &mut Bed, what: &str) {
    bed.ingest_is_not_serving().await;
    assert!(bed.faults.hit() > 0, "{what}: something was refused");
    let told = assert_told(&bed.refused().await, Code::Unavailable, "JOURNAL_UNWRITABLE", true, &[]);
    assert!(told.metadata("cause").contains("full"), "{what}: {told:?}");
    bed.assert_exact(what).await;
    bed.assert_sound();
    bed.faults.clear();
    bed.serves_again().await;
    // The journal does one thing at a time, so between these two it goes on with what it could not do.
    bed.accept().await;
    bed.accept().await;
    bed.assert_exact(what).await;
}

/// Rows for a block, none made yet: a server makes it some seconds after its start.
async fn before_a_block() -> Bed {
    for _ in 0..5 {
        let mut bed = with_old_rows(ROWS).await;
        bed.server.kill();
        // On a very busy machine the one that took them may have made it.
        if bed.rows() == ROWS as u64 {
            return bed;
        }
    }
    panic!("a block was made each time");
}

async fn a_block_on_a_full_disk(after: u64) {
    let mut bed = before_a_block().await;
    bed.faults.tell(full_after(after));
    bed.start().await;
    is_full_and_passes(&mut bed, &format!("a block, after {after} writes")).await;
    bed.stop();
    assert!(bed.rows() < ROWS as u64, "it is made in the end: {} rows", bed.rows());
    bed.remove_checkpoints();
    bed.start().await;
    bed.assert_exact("from the block").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_for_which_the_disk_is_full_is_made_later() {
    let mut trials = tokio::task::JoinSet::new();
    for after in points((0..40).collect(), 3) {
        trials.spawn(a_block_on_a_full_disk(after));
    }
    trials.join_all().await;
}

/// Rows that are to be dropped, by a server that is to be started.
async fn before_dropping() -> Bed {
    let mut bed = with_old_rows(DROPPED).await;
    bed.stop();
    expect_dropping(&mut bed).await;
    bed
}

async fn dropping_on_a_full_disk(after: u64) {
    let mut bed = before_dropping().await;
    bed.faults.tell(full_after(after));
    bed.start().await;
    is_full_and_passes(&mut bed, &format!("dropping, after {after} writes")).await;
    bed.logs("dropped rows older than the retention").await;
    bed.stop();
    assert!(bed.rows() < DROPPED as u64, "{} rows", bed.rows());
    bed.remove_checkpoints();
    bed.start().await;
    bed.assert_exact("from what was carried over").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_dropped_later_if_the_disk_is_full() {
    let mut bed = before_dropping().await;
    bed.faults.tell(Rule { action: Action::Count, ..full_after(0) });
    bed.start().await;
    bed.logs("dropped rows older than the retention").await;
    let writes = bed.faults.seen();
    assert!(writes > 10, "what is carried over is written, and the rows are: {writes}");
    let mut trials = tokio::task::JoinSet::new();
    for after in points((0..writes).collect(), 4) {
        trials.spawn(dropping_on_a_full_disk(after));
    }
    trials.join_all().await;
}
