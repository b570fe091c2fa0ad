//! What is acknowledged is kept, and what cannot be kept is not acknowledged.

use super::sent::{assert_taken, form, list, post_form, post_json, tally};
use crate::common::calls::{Client, since};
use crate::common::disk::Disk;
use crate::common::events::{at, created, now_ms, sid};
use crate::common::process::Launch;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_204_or_200_is_there_after_kill_9() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Launch::on(home.path()).start();
    let workspace = sid("WS", 1);
    for number in 0..20 {
        assert_taken(&post_form(&server.address, &[], &form(&created(number, &workspace, now_ms(), "voice"))));
        let next = list(&[created(100 + number, &workspace, now_ms(), "voice")]);
        assert_eq!(tally(&post_json(&server.address, &[], &next)).0, 1);
    }
    let refused = form(&created(500, &workspace, now_ms(), "voice")).replace("TaskSid=WT", "TaskSid=");
    post_form(&server.address, &[], &refused).problem(400, 20001);
    server.kill();
    let server = Launch::on(home.path()).start();
    let client = Client::to(&server).await;
    let all = client.cumulative(since(&workspace, at(now_ms() - 3_600_000))).await.unwrap();
    assert_eq!(all.tasks_created, 40);
    server.stop();
    let file = rusqlite::Connection::open(home.path().join("dead-letters.db")).unwrap();
    let letters: i64 = file.query_row("SELECT count(*) FROM letters", [], |row| row.get(0)).unwrap();
    assert_eq!(letters, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_written_is_503_with_retry_after_until_it_can() {
    let Some(disk) = Disk::mount("6m") else { return };
    let server = Launch::on(disk.path()).with(["--min-free-disk", "0"]).start();
    let workspace = sid("WS", 1);
    assert_taken(&post_form(&server.address, &[], &form(&created(0, &workspace, now_ms(), "voice"))));
    let filler = disk.fill();
    let mut number = 1;
    let refused = loop {
        let batch: Vec<_> =
            (number..number + 200).map(|number| created(number, &workspace, now_ms(), "voice")).collect();
        let answer = post_json(&server.address, &[], &list(&batch));
        if answer.status != 200 {
            break answer;
        }
        number += 200;
        assert!(number < 40_000, "a full disk takes no more than a few batches");
    };
    let message = refused.problem(503, 20503);
    assert!(message.contains("cannot be written"), "{message}");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    let one = form(&created(90_000, &workspace, now_ms(), "voice"));
    let answer = post_form(&server.address, &[], &one);
    answer.problem(503, 20503);
    assert!(!answer.header("retry-after").is_empty());
    std::fs::remove_file(filler).unwrap();
    crate::common::eventually_blocking("the journal can be written again", || {
        (post_form(&server.address, &[], &one).status == 204).then_some(())
    });
}
