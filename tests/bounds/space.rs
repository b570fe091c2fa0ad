//! Free disk space: below the least of it no events are taken, before the disk is full.

use std::cell::Cell;
use std::time::Duration;

use tasktally::api::proto::v1::{self, EventType};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::common::calls::{Client, end_of, next};
use crate::common::details::assert_told;
use crate::common::disk::Disk;
use crate::common::events::{bare, length, now_ms, sid};
use crate::common::process::Launch;
use crate::common::{eventually, in_time};

const INGEST: &str = "tasktally.v1.IngestService";
const STATISTICS: &str = "tasktally.v1.StatisticsService";

fn event(number: u64) -> v1::Event {
    bare(number, EventType::WorkspaceUpdated, &sid("WS", 1), now_ms())
}

#[track_caller]
fn assert_no_space(status: &Status) {
    let told = assert_told(status, Code::Unavailable, "JOURNAL_UNWRITABLE", true, &[]);
    let cause = told.metadata("cause");
    assert!(cause.contains("bytes are free") && cause.contains("min_free_disk = "), "{cause}");
}

async fn is_ingest_serving(client: &Client) -> bool {
    assert_eq!(client.health_of(STATISTICS).await.unwrap(), ServingStatus::Serving);
    client.health_of(INGEST).await.unwrap() == ServingStatus::Serving
}

/// Of any disk: no one has a million tebibytes.
#[tokio::test(flavor = "multi_thread")]
async fn with_less_than_the_least_nothing_is_taken_and_questions_are_answered() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Launch::on(home.path()).with(["--min-free-disk", "0"]).start();
    Client::to(&server).await.accept(vec![event(1)]).await;
    server.kill();
    let mut server = Launch::on(home.path()).with(["--min-free-disk", "1000000TiB"]).start();
    let client = Client::to(&server).await;
    eventually("ingest is not serving", async || (!is_ingest_serving(&client).await).then_some(())).await;
    assert_no_space(&client.send(vec![event(2)]).await.unwrap_err());
    client.realtime(&sid("WS", 1), "").await.unwrap();
    server.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_stops_before_the_disk_is_full_and_goes_on_by_itself() {
    const LEAST: usize = 16 << 20;
    let Some(disk) = Disk::mount("48m") else { return };
    let mut server = Launch::on(disk.path()).with(["--min-free-disk", "16MiB", "--checkpoint-interval", "1s"]).start();
    let client = Client::to(&server).await;
    client.accept(vec![event(1)]).await;
    let watched = v1::WatchRealtimeRequest {
        workspace_sid: sid("WS", 1),
        heartbeat_interval: Some(length(Duration::from_millis(200))),
        ..v1::WatchRealtimeRequest::default()
    };
    let mut watch = client.watch(watched).await.unwrap();
    next(&mut watch).await;
    let number = Cell::new(2);
    for _ in 0..2 {
        // Half of the least is left: the disk itself would take events for long.
        let filler = disk.take(disk.free() - LEAST / 2);
        let status = eventually("events are refused", async || {
            number.set(number.get() + 1);
            client.send(vec![event(number.get())]).await.err()
        })
        .await;
        assert_no_space(&status);
        eventually("ingest is not serving", async || (!is_ingest_serving(&client).await).then_some(())).await;
        let requests = tokio_stream::iter([v1::IngestEventsRequest { events: vec![event(number.get())] }]);
        let ended = match client.ingest().stream_events(requests).await {
            Ok(answers) => end_of(&mut answers.into_inner()).await,
            Err(status) => status,
        };
        assert_no_space(&ended);
        assert!(disk.free() > LEAST / 4, "what is left is left");
        // Reads and watches go on.
        let seen = client.realtime(&sid("WS", 1), "").await.unwrap().revision;
        while next(&mut watch).await.revision < seen {}

        std::fs::remove_file(filler).unwrap();
        let serving = eventually("it serves again", async || is_ingest_serving(&client).await.then_some(()));
        in_time("recovery", serving).await;
        // What was refused was not taken.
        client.accept(vec![event(number.get())]).await;
    }
    server.assert_sound();
}
