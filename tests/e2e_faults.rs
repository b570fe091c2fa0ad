//! The real binary on a faulty disk (`faults/shim.c`): what each call of a commit, of a checkpoint and of what the journal
//! does besides may do wrong, what callers and probes hear of it, what is there afterwards, and how service goes on.
//!
//! `TASKTALLY_FAULTS_SEED` repeats a run's draws; `TASKTALLY_FAULTS_POINTS` says how many points of each sort to try,
//! `all` for every one of them.

mod common;
mod e2e_faults {
    pub mod bed;
    pub mod full;
    pub mod keeping;
    pub mod old_rows;
    pub mod starting;
}
mod faults;

use std::time::Duration;

use e2e_faults::bed::{Bed, points};
use faults::{Action, Rule, errno, files, kinds};
use tonic::Code;

/// What passes: the disk is full, the quota is, it may not be written, from this call on.
const PASSING: [(&str, u64, &str); 4] = [
    ("full", errno::ENOSPC, "full"),
    ("quota", errno::EDQUOT, "quota"),
    ("read-only", errno::EROFS, "Read-only"),
    ("no permission", errno::EACCES, "ermission"),
];

/// Everything that a full disk refuses, wherever it is.
fn from_here_on(errno: u64) -> Rule {
    Rule::new(Action::Fail(errno), kinds::GROWS, files::ALL)
}

async fn writes_of_a_commit(bed: &mut Bed) -> u64 {
    bed.faults.tell(Rule::new(Action::Count, kinds::WRITE, files::WAL));
    bed.accept().await;
    let writes = bed.faults.seen();
    assert!(writes >= 4, "a commit writes frames, and each in two parts: {writes}");
    writes
}

async fn a_commit_that_is_refused(what: &str, errno: u64, cause: &str) {
    let mut bed = Bed::new(&[]).await;
    let writes = writes_of_a_commit(&mut bed).await;
    for nth in points((0..writes).collect(), 3) {
        bed.faults.tell(Rule { skip: nth, ..from_here_on(errno) });
        let Some(status) = bed.refused_if_hit().await else { continue };
        let told = common::details::assert_told(&status, Code::Unavailable, "JOURNAL_UNWRITABLE", true, &[]);
        assert!(told.metadata("cause").contains(cause), "{what}, write {nth}: {told:?}");
        bed.ingest_is_not_serving().await;
        bed.assert_exact(&format!("{what} at write {nth}")).await;
        bed.faults.clear();
        bed.serves_again().await;
        // As new: nothing of what was refused had stayed.
        bed.accept().await;
    }
    bed.faults.clear();
    bed.assert_sound();
    bed.restart(&[]).await;
    bed.assert_exact(what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_refused_at_any_write_leaves_nothing_and_passes_by_itself() {
    let mut trials = tokio::task::JoinSet::new();
    for (what, errno, cause) in PASSING {
        trials.spawn(a_commit_that_is_refused(what, errno, cause));
    }
    trials.join_all().await;
}

/// What nobody can go on from: it is not known what is on the disk.
const FINAL: [(&str, Action, u64, u64); 5] = [
    ("a write fails", Action::Fail(errno::EIO), kinds::WRITE, files::WAL),
    ("a torn write", Action::Torn(300, errno::EIO), kinds::WRITE, files::WAL),
    ("a sync fails", Action::Fail(errno::EIO), kinds::SYNC, files::WAL),
    ("a sync finds no space", Action::Fail(errno::ENOSPC), kinds::SYNC, files::WAL),
    ("a sync finds no quota", Action::Fail(errno::EDQUOT), kinds::SYNC, files::WAL),
];

async fn a_commit_that_is_lost(what: &str, action: Action, on: u64, of: u64) {
    let mut bed = Bed::new(&[]).await;
    let writes = if on == kinds::WRITE { writes_of_a_commit(&mut bed).await } else { 1 };
    for nth in points((0..writes).collect(), 2) {
        bed.accept().await;
        bed.faults.tell(Rule::new(action, on, of).nth(nth));
        bed.dies_of_a_batch(what).await;
        bed.faults.clear();
        bed.restart_after_death().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_outcome_is_unknown_ends_the_process() {
    let mut trials = tokio::task::JoinSet::new();
    for (what, action, on, of) in FINAL {
        trials.spawn(a_commit_that_is_lost(what, action, on, of));
    }
    trials.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn short_writes_are_gone_on_with() {
    let mut bed = Bed::new(&["--checkpoint-interval", "1s"]).await;
    for part in [1, 300, 1000] {
        bed.faults.tell(Rule::new(Action::Short(part), kinds::WRITE, files::ALL & !files::LOCK));
        bed.accept().await;
        bed.checkpoint_is_written().await;
        assert!(bed.faults.hit() > 10, "writes were short");
    }
    bed.assert_sound();
    bed.restart(&[]).await;
    bed.assert_exact("after short writes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_moved_away_takes_nothing_more() {
    let mut bed = Bed::new(&[]).await;
    bed.accept().await;
    let away = bed.dir.path().with_extension("away");
    std::fs::rename(bed.dir.path(), &away).unwrap();
    bed.dies_of_a_batch("moved away").await;
    std::fs::rename(&away, bed.dir.path()).unwrap();
    bed.restart_after_death().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_removed_takes_nothing_more() {
    let mut bed = Bed::new(&[]).await;
    bed.accept().await;
    std::fs::remove_dir_all(bed.dir.path()).unwrap();
    bed.dies_of_a_batch("removed").await;
    // Everything is gone, by whoever removed it. The next start begins anew, and serves.
    std::fs::create_dir(bed.dir.path()).unwrap();
    bed.begin_anew().await;
    bed.accept().await;
    bed.assert_exact("after the folder was removed").await;
}

/// A probe of an unwritable journal that meets a failing disk, and one that finds the folder gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_that_then_fails_ends_the_process() {
    let mut bed = Bed::new(&[]).await;
    bed.accept().await;
    bed.faults.tell(from_here_on(errno::ENOSPC));
    bed.refused().await;
    bed.ingest_is_not_serving().await;
    bed.faults.tell(Rule::new(Action::Fail(errno::EIO), kinds::SYNC, files::WAL));
    bed.dies("a failing disk").await;
    bed.faults.clear();
    bed.restart_after_death().await;
}

/// Beyond any honest delay between the failure and the end of the process, which is 0.3 s: what its last words to callers
/// are given.
const DEATH: Duration = Duration::from_secs(5);
