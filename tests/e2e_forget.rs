//! Undoing a wrong first binding: a workspace is forgotten, durably, and begins anew as another account's.

mod common;

use common::calls::{Client, end_of, next, quiet_watch};
use common::details::assert_told;
use common::events::{created, now_ms, sid, worker};
use common::process::{Launch, tasktally};
use tasktally::api::proto::v1;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

fn of_account(events: &[v1::Event], account: &str) -> Vec<v1::Event> {
    events.iter().map(|event| v1::Event { account_sid: account.to_owned(), ..event.clone() }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_workspace_is_gone_for_good_and_may_be_bound_to_another_account() {
    let (wrong, right) = (sid("AC", 1), sid("AC", 2));
    let (moved, other) = (sid("WS", 1), sid("WS", 2));
    let data_dir = tempfile::tempdir().unwrap();
    let mut server = Launch::on(data_dir.path()).with(["--partitions", "2"]).start();
    let client = Client::to(&server).await;
    let now = now_ms();
    let events: Vec<v1::Event> = (1..=5)
        .map(|number| created(number, &moved, now, "voice"))
        .chain((6..=8).map(|number| worker(number, &moved, now, 1)))
        .collect();
    client.accept(of_account(&events, &wrong)).await;
    client.accept(of_account(&[created(9, &other, now, "voice")], &wrong)).await;
    let refused = client.send(of_account(&events, &right)).await.unwrap();
    assert_eq!((refused.accepted, refused.rejected.len()), (0, events.len()), "the binding holds");
    let mut watch = client.watch(quiet_watch(&moved)).await.unwrap();
    let before = next(&mut watch).await;
    assert_eq!((before.total_tasks, before.total_workers), (5, 3));

    let asked = tasktally(["forget", &moved, "--address", &server.address]);
    assert_eq!(asked.code, Some(2), "{asked:?}");
    assert!(
        asked.err.contains(&wrong) && asked.err.contains("5 active tasks") && asked.err.contains("--yes"),
        "{asked:?}"
    );
    assert_eq!(client.realtime(&moved, "").await.unwrap().total_tasks, 5, "nobody said yes");

    let done = tasktally(["forget", &moved, "--yes", "--address", &server.address]).well();
    assert!(done.contains(&moved), "{done}");
    assert_told(&end_of(&mut watch).await, Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    assert_told(&client.realtime(&moved, "").await.unwrap_err(), Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    assert_told(&client.forget(&moved).await.unwrap_err(), Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    let again = tasktally(["forget", &moved, "--yes", "--address", &server.address]);
    assert_eq!(again.code, Some(3), "{again:?}");
    assert_eq!(client.realtime(&other, "").await.unwrap().total_tasks, 1, "another workspace of that account stays");

    // The same events, with the sids that they had.
    let revision = client.accept(of_account(&events[..4], &right)).await;
    assert!(revision > before.revision);
    let mut watch = client.watch(quiet_watch(&moved)).await.unwrap();
    let anew = next(&mut watch).await;
    assert_eq!((anew.account_sid.as_str(), anew.total_tasks, anew.total_workers), (right.as_str(), 4, 0));
    // By the log alone, and by a checkpoint.
    for orderly in [false, true] {
        if orderly {
            server.stop();
        } else {
            server.kill();
        }
        server = Launch::on(data_dir.path()).with(["--partitions", "3"]).start();
        let client = Client::to(&server).await;
        let found = client.realtime(&moved, "").await.unwrap();
        assert_eq!((found.account_sid.as_str(), found.total_tasks, found.total_workers), (right.as_str(), 4, 0));
        assert!(found.revision >= anew.revision);
        assert_eq!(client.send(of_account(&events[..4], &right)).await.unwrap().duplicates, 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_workspace_is_not_forgotten() {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    assert_eq!(client.health_of("tasktally.v1.AdminService").await.unwrap(), ServingStatus::Serving);
    assert_told(
        &client.forget("WS1").await.unwrap_err(),
        Code::InvalidArgument,
        "BAD_FIELDS",
        false,
        &["workspace_sid"],
    );
    assert_told(&client.forget(&sid("WS", 1)).await.unwrap_err(), Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    client.accept(vec![created(1, &sid("WS", 1), now_ms(), "voice")]).await;
    client.forget(&sid("WS", 1)).await.unwrap();
    client.accept(vec![created(1, &sid("WS", 1), now_ms(), "voice")]).await;
}
