//! GetStatus and `tasktally status`: how a server is.

mod common;

use common::calls::{Client, next, quiet_watch};
use common::details::assert_told;
use common::events::{ACCOUNT, created, now_ms, sid, worker};
use common::eventually;
use common::people::{People, shown};
use common::process::{Launch, tasktally};
use tasktally::api::proto::v1;
use tonic::{Code, Status};

async fn status(client: &Client, workspaces: i32) -> Result<v1::ServerStatus, Status> {
    client.admin().get_status(v1::GetStatusRequest { workspaces }).await.map(tonic::Response::into_inner)
}

fn limit<'a>(status: &'a v1::ServerStatus, name: &str) -> &'a v1::LimitStatus {
    let found = status.limits.iter().find(|limit| limit.limit == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", status.limits))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_what_the_server_holds_and_which_bounds_are_near() {
    let data_dir = tempfile::tempdir().unwrap();
    let settings = ["--partitions", "2", "--max-watchers", "2", "--retention", "2h"];
    let server = Launch::on(data_dir.path()).with(settings).start();
    let client = Client::to(&server).await;
    let before = status(&client, 0).await.unwrap();
    assert_eq!((before.revision, before.newest_event_at, before.workspaces), (0, None, 0));
    let now = now_ms();
    let (large, small) = (sid("WS", 1), sid("WS", 2));
    let mut events: Vec<v1::Event> = (1..=5).map(|number| created(number, &large, now, "voice")).collect();
    events.push(created(6, &large, now - 61_000 * 5, "voice"));
    client.accept(events.clone()).await;
    client.accept((10..=12).map(|number| worker(number, &small, now, 1)).collect()).await;
    assert_eq!(client.send(events).await.unwrap().duplicates, 6);
    let mut watches = Vec::new();
    for _ in 0..2 {
        let mut watch = client.watch(quiet_watch(&large)).await.unwrap();
        next(&mut watch).await;
        watches.push(watch);
    }
    // What is held is looked at once a second.
    let found = eventually("the server has looked at itself", async || {
        let found = status(&client, 1).await.unwrap();
        (found.retained_events == 9).then_some(found)
    })
    .await;
    assert_eq!((found.events_accepted, found.events_duplicate, found.events_late), (9, 6, 1));
    assert_eq!((found.workspaces, found.active_tasks, found.workers, found.watchers), (2, 6, 3, 2));
    assert_eq!(found.newest_event_at.unwrap().seconds, now / 1_000);
    assert_eq!(found.retention.unwrap().seconds, 7_200);
    assert!(found.journal_writable && found.revision >= 9 && found.retained_bytes > 0, "{found:?}");
    assert_eq!(found.version, env!("CARGO_PKG_VERSION"));
    let disk = found.disk.unwrap();
    assert!(disk.journal_bytes > 0 && disk.free_bytes.unwrap() > 0, "{disk:?}");
    // The largest alone was asked for; the other has the most workers.
    let [largest] = &found.largest_workspaces[..] else { panic!("{:?}", found.largest_workspaces) };
    assert_eq!((&largest.workspace_sid, &largest.account_sid[..], largest.retained_events), (&large, ACCOUNT, 6));
    let watchers = &found.limits[0];
    assert_eq!((&watchers.limit[..], watchers.used, watchers.limit_value), ("max_watchers", 2, 2));
    let workers = limit(&found, "max_workers_per_workspace");
    assert_eq!((workers.used, &workers.workspace_sid), (3, &small));
    assert_eq!(limit(&found, "max_tasks_per_workspace").workspace_sid, large);
    assert_eq!(limit(&found, "max_workspaces").used, 2);
    assert!(limit(&found, "max_connections").used >= 1);
    assert_eq!(status(&client, 1_000_000).await.unwrap().largest_workspaces.len(), 2);
    let told = tasktally(["status", "--utc", "--address", &server.address]).well();
    for text in
        ["up ", "9 of the last 2h", "9 accepted, 1 of them late, 6 duplicate", "--max-watchers", "100 %", &large]
    {
        assert!(told.contains(text), "{text}:\n{told}");
    }
    let json = tasktally(["status", "--output", "json", "--address", &server.address]).well();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["watchers"], "2");
    drop(watches);
    server.stop();

    // The last one wrote a checkpoint.
    let server = Launch::on(data_dir.path()).with(settings).start();
    let client = Client::to(&server).await;
    let again = status(&client, 0).await.unwrap();
    let disk = again.disk.unwrap();
    assert!(disk.checkpoint_age.is_some() && disk.checkpoint_bytes > 0, "{disk:?}");
    assert_eq!((disk.checkpoint_revision, again.events_accepted), (again.revision, 0));
    let told = tasktally(["status", "--address", &server.address]).well();
    assert!(told.contains("ago, 0 events since") && told.contains("none is near"), "{told}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_is_near_when_the_next_event_would_be_refused() {
    let bounds =
        ["--max-tasks-per-workspace", "3", "--max-channels-per-workspace", "2", "--max-workers-per-account", "2"];
    let server = Launch::ephemeral().with(["--partitions", "2"]).with(bounds).start();
    let client = Client::to(&server).await;
    let (now, here, there) = (now_ms(), sid("WS", 1), sid("WS", 2));
    client.accept(vec![created(1, &here, now, "voice"), created(2, &here, now, "chat")]).await;
    let mut ended = created(3, &here, now, "chat");
    ended.task.as_mut().unwrap().set_assignment_status(v1::TaskAssignmentStatus::Canceled);
    ended.set_type(v1::EventType::TaskCanceled);
    client.accept(vec![ended, worker(10, &here, now, 1), worker(11, &there, now, 1)]).await;
    let refused = client.send(vec![created(4, &here, now, "voice"), created(5, &there, now, "voice")]).await.unwrap();
    assert_eq!((refused.accepted, refused.rejected.len()), (1, 1), "{refused:?}");
    let found = status(&client, 0).await.unwrap();
    // One of the three has ended, and counts.
    let tasks = limit(&found, "max_tasks_per_workspace");
    assert_eq!((tasks.used, tasks.limit_value, &tasks.workspace_sid), (3, 3, &here));
    let channels = limit(&found, "max_channels_per_workspace");
    assert_eq!((channels.used, channels.limit_value), (2, 2));
    let workers = limit(&found, "max_workers_per_account");
    assert_eq!((workers.used, workers.limit_value, &workers.account_sid[..]), (2, 2, ACCOUNT));
    assert_eq!(limit(&found, "max_queued_events").limit_value, 200_000, "of one partition");
    let told = tasktally(["status", "--address", &server.address]).well();
    for name in ["--max-tasks-per-workspace", "--max-channels-per-workspace", "--max-workers-per-account"] {
        assert!(told.contains(name), "{name}:\n{told}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_for_operators_of_all_accounts() {
    let people = People::of(&[("keeper", "all", r#"["admin"]"#), ("one", ACCOUNT, r#"["admin"]"#)]);
    let server = people.launch().start();
    let client = Client::to(&server).await;
    let ask = async |name: &str, workspaces: i32| {
        client.admin().get_status(shown(&people.bearer(name), v1::GetStatusRequest { workspaces })).await
    };
    assert!(ask("keeper", 0).await.unwrap().into_inner().disk.is_none(), "nothing is kept on disk");
    assert_told(&ask("one", 0).await.unwrap_err(), Code::PermissionDenied, "ACCOUNT_NOT_ALL", false, &[]);
    assert_told(&ask("keeper", -1).await.unwrap_err(), Code::InvalidArgument, "BAD_FIELDS", false, &["workspaces"]);
    server.stop();
}
