//! A full disk: what callers hear, that reads go on, that nothing acknowledged is lost, and that it passes by itself.
//!
//! The data directory is a file system of its own, of a few megabytes. Where none may be mounted the test says that it
//! was skipped, on standard error, past the test harness.

mod common;

use std::time::Duration;

use common::calls::{Client, end_of, next};
use common::details::assert_told;
use common::disk::Disk;
use common::events::{Centre, Figures, at, length, now_ms};
use common::process::{Launch, Server};
use common::{eventually, in_time};
use tasktally::api::proto::v1;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

/// The centre's only workspace and everything in it.
async fn figures(client: &Client, centre: &Centre) -> Figures {
    let request = v1::GetStatisticsRequest {
        workspace_sid: centre.workspace(0),
        start_time: Some(at(centre.end_ms - 3_600_000)),
        ..v1::GetStatisticsRequest::default()
    };
    Figures::told(&client.statistics().get_statistics(request).await.unwrap().into_inner())
}

async fn health(client: &Client) -> [ServingStatus; 5] {
    let mut told = [ServingStatus::Unknown; 5];
    let services = ["", "tasktally.v1.IngestService", "tasktally.v1.StatisticsService", "readiness", "liveness"];
    for (service, told) in services.iter().zip(&mut told) {
        *told = client.health_of(service).await.unwrap();
    }
    told
}

const BATCH: u64 = 200;

fn batch(centre: &Centre, from: u64) -> Vec<v1::Event> {
    (from..from + BATCH).map(|number| centre.event(number)).collect()
}

/// Sends batch after batch until one is not taken; answers its first event and the status.
async fn send_until_refused(client: &Client, centre: &Centre, mut from: u64) -> (u64, Status) {
    loop {
        match client.send(batch(centre, from)).await {
            Ok(answer) => assert_eq!((answer.accepted, answer.duplicates), (BATCH as i64, 0)),
            Err(status) => return (from, status),
        }
        from += BATCH;
        assert!(from < 200 * BATCH, "a full disk takes no more than a few batches");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_ingest_alone_and_passes_by_itself() {
    use ServingStatus::{NotServing, Serving};
    let Some(disk) = Disk::mount("6m") else { return };
    let centre = Centre { end_ms: now_ms(), workspaces: 1 };
    let launch = Launch::on(disk.path()).with(["--checkpoint-interval", "1s", "--min-free-disk", "0"]);
    let mut server = launch.start();
    let client = Client::to(&server).await;
    let mut acknowledged = 0;
    while acknowledged < 2_000 {
        client.accept(batch(&centre, acknowledged)).await;
        acknowledged += BATCH;
    }
    let watched = v1::WatchRealtimeRequest {
        workspace_sid: centre.workspace(0),
        heartbeat_interval: Some(length(Duration::from_millis(200))),
        ..v1::WatchRealtimeRequest::default()
    };
    let mut watch = client.watch(watched).await.unwrap();
    next(&mut watch).await;

    for round in 0..2 {
        let filler = disk.fill();
        let (refused_from, status) = send_until_refused(&client, &centre, acknowledged).await;
        let told = assert_told(&status, Code::Unavailable, "JOURNAL_UNWRITABLE", true, &[]);
        assert!(told.metadata("cause").contains("full"), "{told:?}");
        acknowledged = refused_from;
        eventually("ingest is not serving", async || {
            (health(&client).await == [NotServing, NotServing, Serving, Serving, Serving]).then_some(())
        })
        .await;

        // Nothing of what was refused is there, all of what was acknowledged is, and reads and watches go on.
        assert_eq!(figures(&client, &centre).await, centre.figures(0..acknowledged)[0], "round {round}");
        let seen = next(&mut watch).await.as_of;
        while next(&mut watch).await.as_of == seen {}
        let requests = tokio_stream::iter([v1::IngestEventsRequest { events: batch(&centre, acknowledged) }]);
        let ended = match client.ingest().stream_events(requests).await {
            Ok(answers) => end_of(&mut answers.into_inner()).await,
            Err(status) => status,
        };
        assert_told(&ended, Code::Unavailable, "JOURNAL_UNWRITABLE", true, &[]);
        server.assert_sound();

        // Space again: it recovers without being asked to.
        std::fs::remove_file(filler).unwrap();
        let recovered = eventually("it serves again", async || (health(&client).await == [Serving; 5]).then_some(()));
        in_time("recovery", recovered).await;
        client.accept(batch(&centre, acknowledged)).await;
        acknowledged += BATCH;
    }

    end_and_start_when_full(&disk, &launch, server, &centre, acknowledged).await;
}

/// It stops in order on a full disk, and dies on it; once there is room it starts with everything.
async fn end_and_start_when_full(disk: &Disk, launch: &Launch, mut server: Server, centre: &Centre, mut end: u64) {
    for signal in ["TERM", "KILL"] {
        let client = Client::to(&server).await;
        let filler = disk.fill();
        let (refused_from, _) = send_until_refused(&client, centre, end).await;
        end = refused_from;
        server.signal(signal);
        let status = server.wait();
        assert!(signal == "KILL" || status.code() == Some(0), "{status}; log:\n{}", server.log.text());
        std::fs::remove_file(filler).unwrap();
        server = launch.start();
        let client = Client::to(&server).await;
        assert_eq!(figures(&client, centre).await, centre.figures(0..end)[0], "{signal}");
        for from in (0..end).step_by(BATCH as usize) {
            assert_eq!(client.send(batch(centre, from)).await.unwrap().duplicates, BATCH as i64, "{signal}");
        }
    }
    // It also starts on a full disk, and answers.
    disk.fill();
    server.kill();
    let server = launch.start();
    let client = Client::to(&server).await;
    assert_eq!(figures(&client, centre).await, centre.figures(0..end)[0]);
    let (refused_from, status) = send_until_refused(&client, centre, end).await;
    assert_told(&status, Code::Unavailable, "JOURNAL_UNWRITABLE", true, &[]);
    assert_eq!(figures(&client, centre).await, centre.figures(0..refused_from)[0]);
}
