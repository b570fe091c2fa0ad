//! Faults while the server starts: it refuses, names the cause, changes nothing, and starts once they are gone.

use std::process::ExitStatus;

use tokio::task::block_in_place;

use super::bed::{Bed, points};
use crate::common::process::Server;
use crate::faults::{Action, Rule, errno, files, kinds};

/// A folder with a checkpoint and rows after it, whose server was killed.
async fn killed() -> Bed {
    let mut bed = Bed::new(&["--checkpoint-interval", "1s"]).await;
    bed.accept().await;
    bed.checkpoint_is_written().await;
    bed.restart(&["--checkpoint-interval", "1h"]).await;
    for _ in 0..3 {
        bed.accept().await;
    }
    bed.server.kill();
    bed
}

/// How many such calls a start makes.
async fn counted(bed: &mut Bed, on: u64, of: u64) -> u64 {
    bed.faults.tell(Rule::new(Action::Count, on, of));
    bed.start().await;
    let seen = bed.faults.seen();
    bed.accept().await;
    bed.accept().await;
    bed.server.kill();
    seen
}

/// Waits until it serves, or answers how it ended instead.
fn ended(server: &mut Server) -> Option<ExitStatus> {
    block_in_place(|| {
        crate::common::eventually_blocking("it serves or ends", || {
            if server.out.contains("listens on") { Some(None) } else { server.has_ended().map(Some) }
        })
    })
}

/// What a disk reads wrongly while SQLite moves its log into the database is written there, and the log is gone: no start
/// can heal that. It must be found: each start after it refuses, too, and says what is damaged.
fn has_kept_it(bed: &Bed) -> bool {
    let mut server = bed.launch().spawn();
    match ended(&mut server) {
        Some(_) => {
            server.logs("is damaged");
            true
        }
        None => {
            server.kill();
            false
        }
    }
}

async fn a_start_with(action: Action, on: u64, of: u64, default: usize) {
    let mut bed = killed().await;
    let calls = counted(&mut bed, on, of).await;
    assert!(calls > 0, "a start makes such calls");
    let (mut refused, mut served, mut kept) = (0, 0, 0);
    for nth in points((0..calls).collect(), default) {
        bed.faults.tell(Rule::new(action, on, of).nth(nth));
        let mut server = bed.launch().spawn();
        match ended(&mut server) {
            Some(status) => {
                refused += 1;
                assert_eq!(status.code(), Some(1), "{action:?} at {nth}: log:\n{}", server.log.text());
                server.logs("ERROR");
                assert!(!server.log.contains("panicked"), "{action:?} at {nth}: log:\n{}", server.log.text());
                bed.faults.clear();
                if matches!(action, Action::Corrupt) && has_kept_it(&bed) {
                    kept += 1;
                    bed = killed().await;
                    counted(&mut bed, on, of).await;
                    continue;
                }
                bed.start().await;
            }
            // It had no need of it, or another way.
            None => {
                served += 1;
                server.kill();
                bed.faults.clear();
                bed.start().await;
            }
        }
        bed.assert_exact(&format!("{action:?} at {nth}")).await;
        bed.accept().await;
        bed.accept().await;
        bed.server.kill();
    }
    println!("{action:?}: {refused} starts refused, {served} not; {kept} times what was read wrongly stayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_meets_a_fault_is_refused_and_the_next_has_everything() {
    let read = files::JOURNAL | files::CHECKPOINTS;
    let trials = [
        (Action::Fail(errno::EIO), kinds::READ, read, 3),
        (Action::Corrupt, kinds::READ, read, 3),
        (Action::Fail(errno::EIO), kinds::WRITE, files::ALL, 2),
        (Action::Fail(errno::EIO), kinds::SYNC, files::ALL, 2),
        (Action::Fail(errno::EACCES), kinds::OPEN, files::ALL, 3),
        (Action::Fail(errno::ENOSPC), kinds::WRITE, files::ALL, 2),
        (Action::Fail(errno::EIO), kinds::TRUNCATE, files::ALL, 2),
    ];
    let mut running = tokio::task::JoinSet::new();
    for (action, on, of, default) in trials {
        running.spawn(a_start_with(action, on, of, default));
    }
    running.join_all().await;
}
