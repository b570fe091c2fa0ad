//! What events make the server hold: of a workspace and of an account.

use tasktally::api::proto::v1::{self, EventType};

use super::assert_refused;
use crate::common::calls::Client;
use crate::common::events::{ACCOUNT, bare, created, now_ms, sid, worker};
use crate::common::process::{Launch, Server};

/// An event (its number) in a workspace that names this object of the kind.
type Naming = fn(u64, &str, u64) -> v1::Event;

const KINDS: [(&str, Naming); 5] = [
    ("channels", |number, workspace, object| created(number, workspace, now_ms(), &format!("channel {object}"))),
    ("channels", |number, workspace, object| {
        let mut event = created(number, workspace, now_ms(), "voice");
        event.task.as_mut().unwrap().task_channel_sid = sid("TC", object);
        event
    }),
    ("workers", |number, workspace, object| {
        let mut event = worker(number, workspace, now_ms(), 1);
        event.worker.as_mut().unwrap().sid = sid("WK", object);
        event
    }),
    ("activities", |number, workspace, object| worker(number, workspace, now_ms(), object)),
    ("tasks", |number, workspace, object| {
        let mut event = created(number, workspace, now_ms(), "voice");
        event.task.as_mut().unwrap().sid = sid("WT", object);
        event
    }),
];

const OF_WORKSPACE: usize = 3;
const OF_ACCOUNT: usize = 5;

fn of_account(account: u64, mut event: v1::Event) -> v1::Event {
    event.account_sid = sid("AC", account);
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_and_an_account_have_so_many_of_each_kind_and_no_more() {
    for (kind, event) in KINDS {
        let home = tempfile::tempdir().unwrap();
        let [per_workspace, per_account] = ["workspace", "account"]
            .map(|whose| (format!("--max-{kind}-per-{whose}"), format!("max_{kind}_per_{whose}")));
        let launch = Launch::on(home.path()).with(["--partitions", "2", &per_workspace.0, "3", &per_account.0, "5"]);
        let mut server = launch.start();
        let client = Client::to(&server).await;
        let (full, second, of_other) = (sid("WS", 1), sid("WS", 2), sid("WS", 3));
        let (of_workspace, of_account_) =
            ((per_workspace.1.as_str(), OF_WORKSPACE), (per_account.1.as_str(), OF_ACCOUNT));

        // One past it in one call, and in a call of its own.
        let first: Vec<v1::Event> = (0..4).map(|object| event(100 + object, &full, object)).collect();
        assert_refused(&client.send(first.clone()).await.unwrap(), 3, 3, of_workspace);
        assert_refused(&client.send(vec![event(110, &full, 9)]).await.unwrap(), 0, 0, of_workspace);
        // What grows nothing: what is there already, new or sent again.
        client.accept(vec![event(120, &full, 0), event(121, &full, 2)]).await;
        let again = client.send(first[..3].to_vec()).await.unwrap();
        assert_eq!((again.accepted, again.duplicates, again.rejected.len()), (0, 3, 0), "{kind}: {again:?}");

        // The account is full before its second workspace is.
        let events = (0..3).map(|object| event(200 + object, &second, object)).collect();
        assert_refused(&client.send(events).await.unwrap(), 2, 2, of_account_);
        client.accept(vec![event(220, &second, 1), bare(221, EventType::WorkspaceUpdated, &second, now_ms())]).await;
        // Other accounts have room of their own.
        let others = (0..4).map(|object| of_account(7, event(300 + object, &of_other, object))).collect();
        assert_refused(&client.send(others).await.unwrap(), 3, 3, of_workspace);

        server = restarted(server, &launch);
        let client = Client::to(&server).await;
        assert_refused(&client.send(vec![event(130, &full, 3)]).await.unwrap(), 0, 0, of_workspace);
        assert_refused(&client.send(vec![event(230, &second, 2)]).await.unwrap(), 0, 0, of_account_);
        client.accept(vec![event(131, &full, 1), event(231, &second, 0)]).await;
        let again = client.send(first[..3].to_vec()).await.unwrap();
        assert_eq!((again.duplicates, again.rejected.len()), (3, 0), "{kind}: {again:?}");
        server.assert_sound();
    }
}

/// Killed, so that what it held is counted again from the journal.
fn restarted(mut server: Server, launch: &Launch) -> Server {
    server.kill();
    launch.start()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_workspaces_in_all_and_of_an_account() {
    let settings = ["--partitions", "2", "--max-workspaces", "3", "--max-workspaces-per-account", "2"];
    let server = Launch::ephemeral().with(settings).start();
    let client = Client::to(&server).await;
    // One moment for all: an event that is sent again has the second that it had.
    let at_ms = now_ms();
    let event = |number, account: u64, workspace| {
        let event = bare(number, EventType::WorkspaceCreated, &sid("WS", workspace), at_ms);
        if account == 0 { event } else { of_account(account, event) }
    };
    assert_eq!(event(0, 0, 1).account_sid, ACCOUNT);
    let answer = client.send((1..=3).map(|number| event(number, 0, number)).collect()).await.unwrap();
    assert_refused(&answer, 2, 2, ("max_workspaces_per_account", 2));
    client.accept(vec![event(10, 7, 3)]).await;
    assert_refused(&client.send(vec![event(11, 7, 4)]).await.unwrap(), 0, 0, ("max_workspaces", 3));
    client.accept(vec![event(12, 7, 3), event(13, 0, 1)]).await;
    assert_eq!(client.send(vec![event(1, 0, 1)]).await.unwrap().duplicates, 1);
    // One that is forgotten makes room for another.
    client.forget(&sid("WS", 1)).await.unwrap();
    client.accept(vec![event(20, 0, 4)]).await;
    assert_refused(&client.send(vec![event(21, 0, 5)]).await.unwrap(), 0, 0, ("max_workspaces", 3));
}
