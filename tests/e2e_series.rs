//! GetCumulativeSeries over the wire: each bucket is what GetCumulative says of its interval, and all are of one state.

mod common;

use common::calls::Client;
use common::details::assert_told;
use common::events::{Centre, bare, created, now_ms, sid};
use common::process::{Launch, Server};
use prost_types::{Duration, Timestamp};
use tasktally::api::proto::v1::{
    EventType, GetCumulativeRequest, GetCumulativeSeriesRequest as Asked, WorkspaceCumulativeStatistics as Bucket,
};
use tonic::Code;

const HOUR_S: i64 = 3600;
const RETENTION_S: i64 = 30 * 24 * HOUR_S;

async fn scene() -> (Server, Client) {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    (server, client)
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn between(workspace_sid: &str, start: i64, end: i64, bucket: i64) -> Asked {
    let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let workspace_sid = workspace_sid.to_owned();
    Asked { workspace_sid, start_time: time(start), end_time: time(end), bucket: seconds(bucket), ..Asked::default() }
}

fn edges(bucket: &Bucket) -> (i64, i64) {
    (bucket.start_time.unwrap().seconds, bucket.end_time.unwrap().seconds)
}

/// The same, of no state and moment in particular.
fn timeless(bucket: &Bucket) -> Bucket {
    Bucket { revision: 0, as_of: None, ..bucket.clone() }
}

fn counts(bucket: &Bucket) -> [i64; 12] {
    let of = bucket;
    [
        of.tasks_created,
        of.tasks_canceled,
        of.tasks_completed,
        of.tasks_deleted,
        of.tasks_moved,
        of.tasks_timed_out_in_workflow,
        of.reservations_created,
        of.reservations_accepted,
        of.reservations_rejected,
        of.reservations_timed_out,
        of.reservations_canceled,
        of.reservations_rescinded,
    ]
}

/// The buckets tile the interval; each is what GetCumulative says of it; together they are what it says of the whole.
async fn check(client: &Client, asked: Asked) -> Vec<Bucket> {
    let answer = client.series(asked.clone()).await.unwrap();
    let Asked { workspace_sid, task_channel, split_by_wait_time, start_time, end_time, bucket, .. } = asked;
    let of = |start_time, end_time| GetCumulativeRequest {
        workspace_sid: workspace_sid.clone(),
        task_channel: task_channel.clone(),
        split_by_wait_time: split_by_wait_time.clone(),
        start_time,
        end_time,
        ..GetCumulativeRequest::default()
    };
    let (start, end) = (start_time.unwrap().seconds, end_time.unwrap().seconds);
    let (mut next, mut sum) = (start, [0; 12]);
    for bucket_there in &answer.buckets {
        let expected = (next, end.min(next + bucket.unwrap().seconds));
        assert_eq!(edges(bucket_there), expected);
        assert_eq!((bucket_there.revision, bucket_there.as_of), (answer.revision, answer.as_of));
        let one = client.cumulative(of(bucket_there.start_time, bucket_there.end_time)).await.unwrap();
        assert_eq!(timeless(bucket_there), timeless(&one));
        next = expected.1;
        sum.iter_mut().zip(counts(bucket_there)).for_each(|(sum, count)| *sum += count);
    }
    assert_eq!(next, end, "they end where the interval ends");
    let whole = client.cumulative(of(start_time, end_time)).await.unwrap();
    assert_eq!(sum, counts(&whole));
    let of_buckets = answer.buckets.iter().map(|bucket| bucket.wait_duration_until_accepted.unwrap().count);
    assert_eq!(of_buckets.sum::<i64>(), whole.wait_duration_until_accepted.unwrap().count);
    answer.buckets
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bucket_is_what_get_cumulative_says_of_its_interval() {
    let (_server, client) = scene().await;
    let centre = Centre { end_ms: now_ms() - 5_000, workspaces: 2 };
    client.accept((0..4_000).map(|number| centre.event(number)).collect()).await;
    let end = centre.end_ms / 1000 + 3;
    for (start, bucket) in [(end - 600, 60), (end - 600, 7), (end - 599, 600), (end - 601, 600), (end - 40, 1)] {
        for workspace in [centre.workspace(0), centre.workspace(1)] {
            let asked = Asked { split_by_wait_time: vec![1, 20, 60], ..between(&workspace, start, end, bucket) };
            let buckets = check(&client, asked).await;
            let counted = buckets.iter().map(|bucket| counts(bucket).iter().sum::<i64>()).sum::<i64>();
            assert!(counted > 0 || end - start < 60, "{counted} events in {bucket} s");
        }
    }
    let voice = Asked { task_channel: "voice".to_owned(), ..between(&centre.workspace(0), end - 600, end, 45) };
    check(&client, voice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_lies_in_the_bucket_of_its_second_and_empty_buckets_are_there() {
    let (_server, client) = scene().await;
    let (workspace, base) = (sid("WS", 1), now_ms() / 1000 - 100);
    // The last millisecond of a bucket, the first of the next, and one in the short last bucket.
    let moments = [base * 1000 + 9_999, base * 1000 + 10_000, base * 1000 + 34_000];
    let events = moments.iter().zip(1..).map(|(at, number)| created(number, &workspace, *at, "voice"));
    client.accept(events.collect()).await;
    let buckets = check(&client, between(&workspace, base, base + 35, 10)).await;
    assert_eq!(buckets.iter().map(|bucket| bucket.tasks_created).collect::<Vec<_>>(), [1, 1, 0, 1]);
    assert_eq!(edges(&buckets[3]), (base + 30, base + 35), "the last one may be shorter");
    let unknown_channel = Asked { task_channel: "fax".to_owned(), ..between(&workspace, base, base + 35, 10) };
    assert!(check(&client, unknown_channel).await.iter().all(|bucket| counts(bucket) == [0; 12]));
    // A workspace of which nothing is counted.
    let empty = sid("WS", 2);
    client.accept(vec![bare(9, EventType::WorkspaceCreated, &empty, now_ms())]).await;
    let buckets = check(&client, between(&empty, base, base + 35, 10)).await;
    assert_eq!((buckets.len(), counts(&buckets[0])), (4, [0; 12]));
    // Absent intervals and "now" are as in GetCumulative: the last second is the one that has begun.
    let asked = Asked { workspace_sid: workspace, bucket: seconds(900), ..Asked::default() };
    let answer = client.series(asked).await.unwrap();
    assert_eq!((answer.buckets.len(), answer.buckets[0].tasks_created), (1, 3));
    assert_eq!(edges(&answer.buckets[0]).1, answer.as_of.unwrap().seconds + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_buckets_are_answered_and_one_more_is_refused_with_the_least_that_fits() {
    let (_server, client) = scene().await;
    let (workspace, now) = (sid("WS", 1), now_ms() / 1000);
    client.accept(vec![created(1, &workspace, now_ms(), "voice")]).await;
    let full = client.series(between(&workspace, now - 999, now + 1, 1)).await.unwrap();
    assert_eq!((full.buckets.len(), full.buckets[999].tasks_created), (1000, 1));
    let refused = async |asked: Asked, least: &str| {
        let status = client.series(asked).await.unwrap_err();
        assert_told(&status, Code::InvalidArgument, "BAD_FIELDS", false, &["bucket"]);
        assert!(status.message().contains(least), "{}", status.message());
    };
    refused(between(&workspace, now - 1000, now + 1, 1), "at least 2 s").await;
    // Until now: what the clock has to say comes in the same words, and before the workspace is looked for.
    let since = |start, bucket| Asked { end_time: None, ..between(&sid("WS", 9), start, 0, bucket) };
    refused(since(now - 2 * HOUR_S, 5), "at least 8 s").await;
    let status = client.series(since(now - 2 * HOUR_S, 60)).await.unwrap_err();
    assert_told(&status, Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    // All that is kept, in as many buckets as there may be.
    let all = |bucket| Asked {
        workspace_sid: workspace.clone(),
        minutes: Some(43_200),
        split_by_wait_time: (1..=20).collect(),
        bucket: seconds(bucket),
        ..Asked::default()
    };
    let buckets = client.series(all(2592)).await.unwrap().buckets;
    assert_eq!((buckets.len(), buckets[999].tasks_created, buckets[999].split_by_wait_time.len()), (1000, 1, 20));
    refused(all(2591), "at least 2592 s").await;
    // A longer bucket would not help there, so that too many of them are not what is told.
    let too_old = |bucket| between(&workspace, now - RETENTION_S - 60, now, bucket);
    let status = client.series(too_old(1)).await.unwrap_err();
    assert_told(&status, Code::OutOfRange, "START_TOO_OLD", false, &[]);
    let status = client.series(too_old(HOUR_S)).await.unwrap_err();
    let told = assert_told(&status, Code::OutOfRange, "START_TOO_OLD", false, &[]);
    let oldest: Timestamp = told.metadata("oldest_start_time").parse().unwrap();
    let edge = between(&workspace, oldest.seconds + 60, now, HOUR_S);
    check(&client, edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_events_come_in_all_buckets_are_of_one_state() {
    let (_server, client) = scene().await;
    let workspace = sid("WS", 1);
    client.accept(vec![created(1, &workspace, now_ms(), "voice")]).await;
    let (sender, there) = (client.clone(), workspace.clone());
    // Each call brings one event to each of ten buckets, so that every state has as many in each.
    let base = now_ms() / 1000 - 500;
    let sending = tokio::spawn(async move {
        for round in 1u64.. {
            let event = |n: u64| created(round * 10 + n, &there, (base + n as i64 * 10) * 1000 + 1, "voice");
            sender.accept((0..10).map(event).collect()).await;
        }
    });
    let mut revision = 0;
    for _ in 0..100 {
        let answer = client.series(between(&workspace, base, base + 100, 10)).await.unwrap();
        let created = answer.buckets.iter().map(|bucket| bucket.tasks_created).collect::<Vec<_>>();
        assert!(created.iter().all(|count| *count == created[0]), "{created:?}");
        assert!(answer.revision >= revision);
        revision = answer.revision;
    }
    sending.abort();
}
