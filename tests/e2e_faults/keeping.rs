//! What the server does besides: checkpoints, moving the write-ahead log into the file, blocks, carry-over, pruning.

use super::bed::Bed;
use crate::common::eventually;
use crate::faults::{Action, Rule, errno, files, kinds};

/// What can go wrong with the files of a checkpoint.
const STEPS: [(&str, u64, u64); 6] = [
    ("create", kinds::CREATE, files::CHECKPOINTS),
    ("write", kinds::WRITE, files::CHECKPOINTS),
    ("sync", kinds::SYNC, files::CHECKPOINTS),
    ("rename", kinds::RENAME, files::CHECKPOINTS),
    ("sync of the folder", kinds::SYNC_FOLDER, files::FOLDER),
    ("removal of the one before", kinds::UNLINK, files::CHECKPOINTS),
];

async fn a_checkpoint_that_fails(errno: u64) {
    let mut bed = Bed::new(&["--checkpoint-interval", "1s"]).await;
    bed.accept().await;
    bed.checkpoint_is_written().await;
    for (step, on, of) in STEPS {
        let said = bed.server.log.text().matches("cannot write a checkpoint").count();
        bed.faults.tell(Rule::new(Action::Fail(errno), on, of));
        bed.accept().await;
        let failures = async || bed.server.log.text().matches("cannot write a checkpoint").count();
        eventually(step, async || (failures().await > said).then_some(())).await;
        // The journal has everything, so ingest goes on.
        bed.serves_again().await;
        bed.accept().await;
        bed.faults.clear();
        bed.checkpoint_is_written().await;
    }
    bed.assert_sound();
    let listed = std::fs::read_dir(bed.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = listed.filter(|name| name.to_string_lossy().starts_with("checkpoint-")).collect();
    assert_eq!(left.len(), 1, "what failed is cleared away: {left:?}");
    bed.server.kill();
    bed.start().await;
    bed.assert_exact("after checkpoints that failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_fails_at_any_step_is_written_later() {
    let mut trials = tokio::task::JoinSet::new();
    for errno in [errno::ENOSPC, errno::EIO] {
        trials.spawn(a_checkpoint_that_fails(errno));
    }
    trials.join_all().await;
}

/// More than a write-ahead log may hold before it is moved into the file, in batches of one row each.
async fn fill_the_log(bed: &mut Bed) {
    for _ in 0..150 {
        bed.accept().await;
    }
}

async fn a_write_ahead_log_that_stays(what: &str, rule: Rule) {
    let mut bed = Bed::new(&[]).await;
    fill_the_log(&mut bed).await;
    bed.faults.tell(rule);
    // Batches are taken as long as the log has room.
    bed.accept_until_hit().await;
    bed.ingest_is_not_serving().await;
    bed.assert_exact(what).await;
    // It is not writable in between: a group would find the log too long.
    let tried = bed.faults.hit();
    eventually("it is tried again", async || (bed.faults.hit() > tried + 2).then_some(())).await;
    assert!(!bed.server.log.contains("can be written again"), "{what}; log:\n{}", bed.server.log.text());
    bed.faults.clear();
    bed.serves_again().await;
    bed.accept().await;
    bed.assert_sound();
    bed.restart(&[]).await;
    bed.assert_exact(what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_ahead_log_that_cannot_be_moved_into_the_file_waits_for_it() {
    let full = Rule::new(Action::Fail(errno::ENOSPC), kinds::WRITE, files::DB);
    let unreadable = Rule::new(Action::Fail(errno::EIO), kinds::READ, files::WAL);
    let full = a_write_ahead_log_that_stays("the file is full", full);
    tokio::join!(full, a_write_ahead_log_that_stays("the log cannot be read", unreadable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_take_the_write_ahead_log_ends_the_process() {
    let mut bed = Bed::new(&[]).await;
    for (on, nth) in [(kinds::SYNC, 0), (kinds::WRITE, 0), (kinds::WRITE, 7)] {
        fill_the_log(&mut bed).await;
        bed.faults.tell(Rule::new(Action::Fail(errno::EIO), on, files::DB).nth(nth));
        bed.accept_until_hit().await;
        bed.dies("moving the log into the file").await;
        bed.faults.clear();
        bed.restart_after_death().await;
    }
}
