//! The life of a process on its data directory: what it says, what it refuses, what a restart keeps.

mod common;

use std::path::Path;
use std::process::Command;

use common::calls::Client;
use common::details::assert_told;
use common::events::{Centre, Figures, at, created, now_ms, sid};
use common::process::{Launch, Server};
use common::{eventually, eventually_blocking, in_time};
use tasktally::api::proto::v1;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

fn workspace() -> String {
    sid("WS", 1)
}

async fn statistics(client: &Client, centre: &Centre, workspace: u64) -> v1::WorkspaceStatistics {
    let request = v1::GetStatisticsRequest {
        workspace_sid: centre.workspace(workspace),
        start_time: Some(at(centre.end_ms - 3_600_000)),
        end_time: Some(at(centre.end_ms + 3_600_000)),
        split_by_wait_time: vec![1, 5, 10],
        ..v1::GetStatisticsRequest::default()
    };
    client.statistics().get_statistics(request).await.unwrap().into_inner()
}

/// Without what time or a restart may change, and the revision.
fn lasting(mut statistics: v1::WorkspaceStatistics) -> (v1::WorkspaceStatistics, i64) {
    statistics.url.clear();
    let realtime = statistics.realtime.as_mut().unwrap();
    let revision = std::mem::take(&mut realtime.revision);
    (realtime.as_of, realtime.longest_task_waiting_age) = (None, None);
    realtime.url.clear();
    // Five minutes after their end, ended tasks no longer show.
    let status = realtime.tasks_by_status.as_mut().unwrap();
    (status.completed, status.canceled) = (0, 0);
    let cumulative = statistics.cumulative.as_mut().unwrap();
    assert_eq!(std::mem::take(&mut cumulative.revision), revision);
    cumulative.as_of = None;
    cumulative.url.clear();
    (statistics, revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn port_0_takes_a_free_one_and_it_says_where_it_listens_and_keeps_its_data() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = Launch::on(data_dir.path()).start();
    let address: std::net::SocketAddr = server.address.parse().unwrap();
    assert_ne!(address.port(), 0);
    assert_eq!(Client::to(&server).await.health_of("").await.unwrap(), ServingStatus::Serving);
    let greeting = eventually_blocking("the whole greeting", || {
        let text = server.out.text();
        text.contains("grpcurl").then_some(text)
    });
    assert!(greeting.contains(&data_dir.path().display().to_string()), "{greeting}");
    assert!(greeting.contains(&format!("grpcurl -plaintext {address}")), "{greeting}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_told_who_holds_the_data_directory() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = Launch::on(data_dir.path()).start();
    let client = Client::to(&server).await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    let told = Launch::on(data_dir.path()).spawn().refuses_to_start();
    assert!(told.contains(&format!("process {} since", server.id())), "{told}");
    assert!(told.contains(&data_dir.path().display().to_string()), "{told}");
    // The first one notices nothing.
    client.accept(vec![created(2, &workspace(), now_ms(), "voice")]).await;
    server.stop();
    let server = Launch::on(data_dir.path()).start();
    assert_eq!(Client::to(&server).await.realtime(&workspace(), "").await.unwrap().total_tasks, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_says_so_loudly_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::ephemeral().inside(dir.path()).with(["--data-dir", "kept"]).start();
    server.logs(" WARN EPHEMERAL");
    eventually_blocking("the greeting says it", || server.out.contains("nowhere").then_some(()));
    let client = Client::to(&server).await;
    client.accept((1..1_000).map(|number| created(number, &workspace(), now_ms(), "voice")).collect()).await;
    assert_eq!(client.realtime(&workspace(), "").await.unwrap().total_tasks, 999);
    server.stop();
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_figures_and_revisions() {
    let data_dir = tempfile::tempdir().unwrap();
    let centre = Centre { end_ms: now_ms(), workspaces: 2 };
    let (mut sent, mut revisions) = (0, [0; 2]);
    // By a checkpoint and without one, with one thread and with four.
    for (partitions, orderly) in [("1", true), ("4", false), ("2", false), ("3", true)] {
        let launch = Launch::on(data_dir.path()).with(["--partitions", partitions]);
        let mut server = launch.start();
        let client = Client::to(&server).await;
        for batch in 0..4 {
            client.accept((sent..sent + 500).map(|number| centre.event(number)).collect()).await;
            sent += 500;
            assert_eq!(client.send(vec![centre.event(batch)]).await.unwrap().duplicates, 1);
        }
        let mut before = Vec::new();
        for workspace in 0..2 {
            before.push(lasting(statistics(&client, &centre, workspace).await));
        }
        let expected = centre.figures(0..sent);
        if orderly {
            server.stop()
        } else {
            server.kill()
        }
        let server = launch.start();
        let client = Client::to(&server).await;
        for (workspace, (statistics_before, revision_before)) in before.into_iter().enumerate() {
            let found = statistics(&client, &centre, workspace as u64).await;
            assert_eq!(Figures::told(&found), expected[workspace]);
            let (found, revision) = lasting(found);
            assert_eq!(found, statistics_before);
            assert!(revision >= revision_before && revision_before > revisions[workspace], "{revision}");
            revisions[workspace] = revision;
        }
        server.stop();
    }
}

/// A data directory of a killed server, with so many tasks in its journal and no checkpoint.
async fn left_by_a_kill(tasks: u64) -> tempfile::TempDir {
    let data_dir = tempfile::tempdir().unwrap();
    let mut server = Launch::on(data_dir.path()).start();
    let client = Client::to(&server).await;
    for number in 1..=tasks {
        client.accept(vec![created(number, &workspace(), now_ms(), "voice")]).await;
    }
    server.kill();
    data_dir
}

fn journal(data_dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(data_dir.join("journal.db")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_a_refusal_to_start_that_names_it() {
    let damages: &[(&str, &[&str])] = &[
        ("UPDATE bodies SET body = zeroblob(length(body)) WHERE first = 3", &["damaged", "positions 3 to 3"]),
        ("DELETE FROM bodies WHERE first = 2", &["damaged", "positions 2 to 2"]),
        ("DELETE FROM headers WHERE first = 2", &["damaged", "positions 2 to 2 are missing"]),
        ("UPDATE headers SET newest_ms = newest_ms + 1 WHERE first = 1", &["damaged", "position 1"]),
        ("UPDATE tail SET last = last + 1", &["damaged"]),
        ("DROP TABLE carry", &["damaged", "tables"]),
        ("PRAGMA user_version = 99", &["format version 99"]),
        ("PRAGMA application_id = 1", &["not a tasktally journal"]),
    ];
    for (damage, words) in damages {
        let data_dir = left_by_a_kill(4).await;
        journal(data_dir.path()).execute_batch(damage).unwrap();
        let told = Launch::on(data_dir.path()).spawn().refuses_to_start();
        for word in words.iter().chain(&["journal.db"]) {
            assert!(told.contains(word), "{damage}: no {word:?} in\n{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_journal_beside_a_checkpoint_is_no_fresh_start() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = Launch::on(data_dir.path()).start();
    Client::to(&server).await.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    server.stop();
    for (removed, beside) in [("journal.db", "journal.db-wal"), ("journal.db-wal", "checkpoint-")] {
        std::fs::remove_file(data_dir.path().join(removed)).unwrap();
        let told = Launch::on(data_dir.path()).spawn().refuses_to_start();
        assert!(told.contains("journal.db is damaged: it is missing") && told.contains(beside), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_is_passed_over_and_the_journal_tells_everything() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = Launch::on(data_dir.path()).start();
    Client::to(&server).await.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    server.stop();
    let listed = std::fs::read_dir(data_dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let checkpoint = listed.into_iter().find(|path| path.to_string_lossy().contains("checkpoint-")).unwrap();
    let mut bytes = std::fs::read(&checkpoint).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&checkpoint, bytes).unwrap();
    let server = Launch::on(data_dir.path()).start();
    server.logs(" WARN ");
    server.logs("replayed=1");
    assert_eq!(Client::to(&server).await.realtime(&workspace(), "").await.unwrap().total_tasks, 1);
}

/// A server that is held in its recovery: the newest checkpoint is a pipe that has nothing to say yet.
fn held_in_recovery(data_dir: &Path) -> (Server, std::path::PathBuf) {
    let pipe = data_dir.join("checkpoint-00000000000000000009.bin");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut server = Launch::on(data_dir).spawn();
    server.address = eventually_blocking("the port is open", || {
        let log = server.log.text();
        let line = log.lines().find(|line| line.contains("listening") && line.contains("version="))?.to_owned();
        Some(line.split("address=").nth(1)?.split(' ').next()?.to_owned())
    });
    (server, pipe)
}

#[tokio::test(flavor = "multi_thread")]
async fn until_the_journal_is_replayed_it_is_not_serving_and_says_so() {
    let data_dir = left_by_a_kill(3).await;
    let (mut server, pipe) = held_in_recovery(data_dir.path());
    let client = Client::to(&server).await;
    for service in ["", "tasktally.v1.IngestService", "tasktally.v1.StatisticsService", "readiness"] {
        assert_eq!(client.health_of(service).await.unwrap(), ServingStatus::NotServing, "{service:?}");
    }
    assert_eq!(client.health_of("liveness").await.unwrap(), ServingStatus::Serving);
    let request = v1::WatchRealtimeRequest { workspace_sid: workspace(), ..v1::WatchRealtimeRequest::default() };
    let list = v1::ListWorkspacesRequest::default();
    let statuses = [
        client.send(vec![created(4, &workspace(), now_ms(), "voice")]).await.unwrap_err(),
        client.realtime(&workspace(), "").await.unwrap_err(),
        client.watch(request).await.unwrap_err(),
        client.statistics().list_workspaces(list).await.unwrap_err(),
    ];
    for status in statuses {
        assert_told(&status, Code::Unavailable, "STARTING", true, &[]);
    }
    assert_eq!(server.out.text(), "", "it does not say yet that it serves");
    // Nothing comes out of the pipe: a checkpoint cut short, which the journal makes up for.
    let unblock = tokio::task::spawn_blocking(move || drop(std::fs::File::options().write(true).open(pipe).unwrap()));
    in_time("the pipe is read", unblock).await.unwrap();
    eventually("it serves", async || (client.health_of("").await.unwrap() == ServingStatus::Serving).then_some(()))
        .await;
    assert_eq!(client.realtime(&workspace(), "").await.unwrap().total_tasks, 3);
    server.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_starting_ends_it() {
    let data_dir = left_by_a_kill(1).await;
    let (mut server, pipe) = held_in_recovery(data_dir.path());
    server.signal("TERM");
    let status = server.wait();
    assert!(status.success(), "it was asked to leave, and left: {status}");
    server.logs("stopped while starting");
    std::fs::remove_file(pipe).unwrap();
    let server = Launch::on(data_dir.path()).start();
    assert_eq!(Client::to(&server).await.realtime(&workspace(), "").await.unwrap().total_tasks, 1);
}

/// Its own server and bare service are processes, and its data a directory: all of them are gone in the end.
#[test]
fn bench_measures_a_server_of_its_own_beside_a_bare_one_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasktally"));
    command.args(
        "bench --events 2000 --calls 300 --seconds 600 --batch 100,1 --in-flight 8 --output json --dir".split(' '),
    );
    // Meant for a client of another server.
    command.arg(dir.path()).env("TASKTALLY_TOKEN", "tt_of_elsewhere").env("TASKTALLY_RETENTION", "1d");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let measurements = report["measurements"].as_array().unwrap();
    let names: Vec<&str> = measurements.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["IngestEvents, 100 a call", "IngestEvents, 1 a call", "GetRealtime"]);
    let counts = |side: &serde_json::Value| (side["calls"].as_u64().unwrap(), side["events"].as_u64().unwrap());
    let expected = [(20, 2_000), (2_000, 2_000)].into_iter().chain(std::iter::repeat((300, 0)));
    for (one, expected) in measurements.iter().zip(expected) {
        assert_eq!((counts(&one["tasktally"]), counts(&one["bare"])), (expected, expected), "(calls, events): {one}");
        assert!(one["ratios"]["calls_per_second"].as_f64().unwrap() > 0.0, "{one}");
        assert!(one["tasktally"]["cpu_us_per_call"].is_f64(), "the CPU of a process on this machine is known: {one}");
        for side in ["tasktally", "bare"] {
            let latency = &one[side]["latency"];
            let quantiles =
                ["p50_us", "p90_us", "p99_us", "p99_9_us", "max_us"].map(|of| latency[of].as_u64().unwrap());
            assert!(quantiles.is_sorted() && quantiles[0] > 0, "{latency}");
        }
    }
    assert_eq!(report["watch"]["changes"], 10);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files left");
}
