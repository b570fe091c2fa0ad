//! Backups of a running server: complete, as of one position, and a server can be started on them.

mod common;

use std::fs;

use common::calls::Client;
use common::details::assert_told;
use common::events::{Centre, Figures, created, now_ms, sid, worker};
use common::process::{Launch, tasktally};
use common::{eventually, in_time};
use tasktally::api::proto::v1;
use tonic::Code;

async fn figures(client: &Client, centre: &Centre, workspace: u64) -> Figures {
    let request = v1::GetStatisticsRequest {
        workspace_sid: centre.workspace(workspace),
        minutes: Some(60),
        ..v1::GetStatisticsRequest::default()
    };
    Figures::told(&client.statistics().get_statistics(request).await.unwrap().into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_server_has_everything_acknowledged_before_it_and_serves() {
    let (data_dir, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Launch::on(data_dir.path()).with(["--checkpoint-interval", "1s"]).start();
    let client = Client::to(&server).await;
    let centre = Centre { end_ms: now_ms(), workspaces: 2 };
    let mut sent = 0;
    for _ in 0..20 {
        client.accept((sent..sent + 500).map(|number| centre.event(number)).collect()).await;
        sent += 500;
    }
    let forgotten = sid("WS", 77);
    client.accept(vec![worker(1, &forgotten, now_ms(), 1), created(2, &forgotten, now_ms(), "voice")]).await;
    client.forget(&forgotten).await.unwrap();
    // Ingest goes on meanwhile, in batches of whole numbers of events.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (feeding, feeder) = (client.clone(), sent);
    let feed = tokio::spawn(async move {
        let (mut sent, mut stopped) = (feeder, stopped);
        while stopped.try_recv().is_err() {
            feeding.accept((sent..sent + 100).map(|number| centre.event(number)).collect()).await;
            sent += 100;
        }
        sent
    });
    let dest = beside.path().join("backup");
    let (address, there) = (server.address.clone(), dest.clone());
    let backup = move || tasktally(["backup", there.to_str().unwrap(), "--address", &address]);
    let told = in_time("the backup", tokio::task::spawn_blocking(backup.clone())).await.unwrap().well();
    stop.send(()).unwrap();
    let all = feed.await.unwrap();
    assert!(told.contains("verified"), "{told}");
    let mut names: Vec<_> = fs::read_dir(beside.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["backup"], "nothing is left beside it");

    let again = tokio::task::spawn_blocking(backup).await.unwrap();
    assert_eq!(again.code, Some(5), "{again:?}");
    assert!(again.err.contains("is there already"), "{again:?}");
    assert!(tasktally(["verify", dest.to_str().unwrap()]).well().contains("nothing is damaged"));

    let restored = Launch::on(&dest).start();
    let restored_client = Client::to(&restored).await;
    // A batch is one group in each workspace's partition, so some number of them is there: all before, and none twice.
    // Of the last one a partition may have its share where another has not yet.
    let numbers = (sent..=all).step_by(100);
    let expected: Vec<Vec<Figures>> = numbers.map(|upto| centre.figures(0..upto)).collect();
    let mut found = Vec::new();
    for workspace in 0..2 {
        found.push(figures(&restored_client, &centre, workspace).await);
    }
    for (workspace, found) in found.iter().enumerate() {
        assert!(expected.iter().any(|batches| batches[workspace] == *found), "{workspace}: {found:?}");
    }
    let unknown = restored_client.realtime(&forgotten, "").await.unwrap_err();
    assert_told(&unknown, Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    // What came later goes in, what was there is known.
    let answer = restored_client.send((0..500).map(|number| centre.event(number)).collect()).await.unwrap();
    assert_eq!(answer.duplicates, 500);
    let rest: Vec<v1::Event> = (sent..all).map(|number| centre.event(number)).collect();
    for batch in rest.chunks(5_000) {
        restored_client.send(batch.to_vec()).await.unwrap();
    }
    for workspace in 0..2 {
        let original = figures(&client, &centre, workspace).await;
        assert_eq!(figures(&restored_client, &centre, workspace).await, original);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_at_a_time_and_one_that_is_abandoned_makes_room() {
    let data_dir = tempfile::tempdir().unwrap();
    let mut server = Launch::on(data_dir.path()).start();
    let client = Client::to(&server).await;
    // In calls so small that their rows are not compressed: a megabyte and more in all.
    for batch in 0..200_u64 {
        let events = (batch * 200..batch * 200 + 200).map(|n| created(n, &sid("WS", 1), now_ms(), "voice"));
        client.accept(events.collect()).await;
    }
    // It reads nothing: what is on its way fills the connection's window, and the rest waits.
    let stalled = Client::to(&server).await;
    let stream = stalled.admin().backup(v1::BackupRequest {}).await.unwrap().into_inner();
    let refused = client.admin().backup(v1::BackupRequest {}).await.unwrap_err();
    assert_told(&refused, Code::ResourceExhausted, "BACKUP_UNDER_WAY", true, &[]);
    client.accept(vec![created(50_000, &sid("WS", 1), now_ms(), "voice")]).await;
    drop((stream, stalled));
    let mut stream = eventually("there is room again", async || {
        client.admin().backup(v1::BackupRequest {}).await.ok().map(tonic::Response::into_inner)
    })
    .await;
    let mut bytes = 0;
    while let Some(message) = in_time("the next piece", stream.message()).await.unwrap() {
        assert_eq!(message.position, 40_001);
        bytes += message.piece.len();
    }
    assert!(bytes > 1 << 20, "{bytes}");
    server.assert_sound();
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_nothing_says_that_there_is_nothing_to_back_up() {
    let server = Launch::ephemeral().start();
    let refused = Client::to(&server).await.admin().backup(v1::BackupRequest {}).await.unwrap_err();
    assert_told(&refused, Code::FailedPrecondition, "NOTHING_ON_DISK", false, &[]);
    let beside = tempfile::tempdir().unwrap();
    let dest = beside.path().join("backup");
    let told = tasktally(["backup", dest.to_str().unwrap(), "--address", &server.address]);
    assert_eq!(told.code, Some(3), "{told:?}");
    assert_eq!(fs::read_dir(beside.path()).unwrap().count(), 0, "nothing is left of it");
}
