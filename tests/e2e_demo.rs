//! `serve --demo`: one command, and there is something to see.

mod common;

use common::calls::Client;
use common::eventually;
use common::process::{Launch, Server};
use tasktally::api::proto::v1::{GetStatisticsRequest, WorkspaceStatistics};

/// The workspaces that it says it shows.
fn workspaces(server: &Server) -> Vec<String> {
    let text = server.out.text();
    let lines = text.lines().map(str::trim);
    lines.filter(|line| line.starts_with("WS") && line.len() == 34).map(str::to_owned).collect()
}

/// Eight hours and a bit.
async fn day(client: &Client, workspace_sid: &str) -> Option<WorkspaceStatistics> {
    let workspace_sid = workspace_sid.to_owned();
    let request = GetStatisticsRequest { workspace_sid, minutes: Some(490), ..GetStatisticsRequest::default() };
    client.statistics().get_statistics(request).await.ok().map(tonic::Response::into_inner)
}

fn created(statistics: &WorkspaceStatistics) -> i64 {
    statistics.cumulative.as_ref().unwrap().tasks_created
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_shows_a_day_and_goes_on_live_until_it_is_stopped() {
    let mut server = Launch::demo().start();
    let client = Client::to(&server).await;
    let sids = eventually("the workspaces are told", async || Some(workspaces(&server)).filter(|sids| sids.len() == 2));
    let sids = sids.await;
    assert!(server.out.contains("nowhere: --ephemeral"), "{}", server.out.text());
    // Some 8,600 tasks on average; of the night's eight hours 6,700.
    for share in [1_000, 3_500, 6_000] {
        for sid in &sids {
            let enough = async || day(&client, sid).await.filter(|statistics| created(statistics) > share);
            let statistics = eventually("its past is coming in", enough).await;
            let realtime = statistics.realtime.unwrap();
            assert!(realtime.total_workers > 0, "{realtime:?}");
        }
    }
    eventually("it is live", async || server.log.contains("goes on live").then_some(())).await;
    for sid in &sids {
        let before = created(&day(&client, sid).await.unwrap());
        let more = async || day(&client, sid).await.filter(|statistics| created(statistics) > before);
        let statistics = eventually("new tasks come", more).await;
        assert!(statistics.realtime.unwrap().total_tasks > 0);
    }
    assert!(!server.log.contains("are refused"), "{}", server.log.text());
    server.assert_sound();
    server.stop();
}

#[test]
fn made_up_events_come_to_no_real_ones() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("new");
    let with = |launch: Launch| launch.with(["--data-dir"]).with([&there]);
    let server = with(Launch::demo()).start();
    assert!(there.join("journal.db").exists() && !server.out.contains("--ephemeral"));
    server.stop();
    let refused = with(Launch::demo()).spawn().refuses_its_flags();
    assert!(refused.contains("is not empty, and --demo makes its events up"), "{refused}");
    // Without the flag it is a directory as any.
    Launch::on(&there).start().stop();
}

#[test]
fn a_demo_is_for_this_host_alone_unless_it_is_said_that_others_may() {
    let refused = Launch::demo_at("0.0.0.0:0").spawn().refuses_its_flags();
    assert!(refused.contains("--allow-unauthenticated"), "{refused}");
}
