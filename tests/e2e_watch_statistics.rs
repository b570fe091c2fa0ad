//! WatchStatistics over real connections: GetStatistics, pushed as WatchRealtime pushes.

mod common;

use std::time::Duration;

use common::calls::{Client, end_of};
use common::details::assert_told;
use common::events::{at, bare, created, length, length_ms, ms, now_ms, sid, task};
use common::people::{People, shown};
use common::process::{Launch, Server};
use common::{eventually, in_time};
use tasktally::api::proto::v1::{
    Event, EventType, GetStatisticsRequest, TaskAssignmentStatus as Status, WatchStatisticsRequest as Asked,
    WatchStatisticsResponse, WorkspaceStatistics,
};
use tokio::task::JoinSet;
use tonic::{Code, Streaming};

fn workspace() -> String {
    sid("WS", 1)
}

async fn scene() -> (Server, Client) {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    (server, client)
}

/// Without a heartbeat that a test could wait for.
fn quiet() -> Asked {
    let heartbeat_interval = Some(length(Duration::from_secs(3600)));
    Asked { workspace_sid: workspace(), heartbeat_interval, ..Asked::default() }
}

fn paced(min_interval_ms: u64, heartbeat_ms: u64) -> Asked {
    let of = |ms| Some(length(Duration::from_millis(ms)));
    Asked { min_interval: of(min_interval_ms), heartbeat_interval: of(heartbeat_ms), ..quiet() }
}

async fn watch(client: &Client, asked: Asked) -> Streaming<WatchStatisticsResponse> {
    client.statistics().watch_statistics(asked).await.unwrap().into_inner()
}

async fn next(watch: &mut Streaming<WatchStatisticsResponse>) -> WorkspaceStatistics {
    let message = in_time("the next message of a watch", watch.message()).await;
    message.unwrap().expect("the watch goes on").statistics.expect("a message holds the statistics")
}

fn created_in(statistics: &WorkspaceStatistics) -> i64 {
    statistics.cumulative.as_ref().unwrap().tasks_created
}

fn active(statistics: &WorkspaceStatistics) -> i64 {
    statistics.realtime.as_ref().unwrap().total_tasks
}

fn as_of(statistics: &WorkspaceStatistics) -> i64 {
    ms(statistics.cumulative.as_ref().unwrap().as_of.as_ref().unwrap())
}

/// The same of no state and moment in particular.
fn timeless(mut statistics: WorkspaceStatistics) -> WorkspaceStatistics {
    let (realtime, cumulative) = (statistics.realtime.as_mut().unwrap(), statistics.cumulative.as_mut().unwrap());
    assert_eq!((realtime.revision, realtime.as_of), (cumulative.revision, cumulative.as_of), "one state, one moment");
    (realtime.revision, realtime.as_of, realtime.longest_task_waiting_age) = (0, None, None);
    (cumulative.revision, cumulative.as_of) = (0, None);
    (cumulative.start_time, cumulative.end_time) = (None, None);
    statistics
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_is_what_get_statistics_says_and_the_first_is_not_older_than_the_call() {
    let (_server, client) = scene().await;
    let asked = Asked { split_by_wait_time: vec![5, 60], minutes: Some(60), ..paced(10, 100) };
    // Somebody watches the same already, so that there is a shared message that could be too old.
    let mut other = watch(&client, asked.clone()).await;
    let other = tokio::spawn(async move { while let Ok(Some(_)) = other.message().await {} });
    for count in 2..40 {
        let revision = client.accept(vec![created(count, &workspace(), now_ms(), "voice")]).await;
        let called = now_ms();
        let first = next(&mut watch(&client, asked.clone()).await).await;
        assert!(as_of(&first) >= called, "{} is before {called}", as_of(&first));
        assert!(first.cumulative.as_ref().unwrap().revision >= revision);
        let of = GetStatisticsRequest {
            workspace_sid: workspace(),
            minutes: Some(60),
            split_by_wait_time: vec![5, 60],
            ..GetStatisticsRequest::default()
        };
        let read = client.statistics().get_statistics(of).await.unwrap().into_inner();
        assert_eq!(timeless(first), timeless(read));
    }
    other.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_either_half_is_pushed_and_what_changes_neither_is_not() {
    let (_server, client) = scene().await;
    let mut watch = watch(&client, quiet()).await;
    let mut before = next(&mut watch).await;
    for count in 2..20 {
        // Nothing that this shows; then what only the past shows, since the task was gone long before it came in.
        client.accept(vec![bare(1000 + count, EventType::WorkspaceUpdated, &workspace(), now_ms())]).await;
        let gone = now_ms() - 600_000;
        let ended = |number, kind, status, at_ms| Event {
            task: Some(task(number, status, gone, "voice")),
            ..bare(10_000 + 10 * count + number % 10, kind, &workspace(), at_ms)
        };
        let number = 5000 + 10 * count;
        let past = vec![ended(number, EventType::TaskCanceled, Status::Canceled, gone + 1000)];
        client.accept(past).await;
        let message = next(&mut watch).await;
        let canceled = |s: &WorkspaceStatistics| s.cumulative.as_ref().unwrap().tasks_canceled;
        assert_eq!((canceled(&message), active(&message)), (canceled(&before) + 1, active(&before)));
        client.accept(vec![created(count, &workspace(), now_ms(), "voice")]).await;
        let message = next(&mut watch).await;
        assert_eq!((active(&message), created_in(&message)), (count as i64, count as i64));
        before = message;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_time_alone_changes_comes_with_the_heartbeat() {
    let (_server, client) = scene().await;
    // Out of the last minute in a second or two; the interval that is given with both ends stays as it is.
    let leaves_at = now_ms() - 58_000;
    client.accept(vec![created(2, &workspace(), leaves_at, "fax")]).await;
    let minute = Asked { minutes: Some(1), task_channel: "fax".to_owned(), ..paced(10, 200) };
    let mut moving = watch(&client, minute).await;
    let mut before = next(&mut moving).await;
    assert_eq!(created_in(&before), 1);
    while created_in(&before) == 1 {
        let message = next(&mut moving).await;
        assert!(as_of(&message) > as_of(&before));
        let end = message.cumulative.as_ref().unwrap().end_time.unwrap().seconds;
        assert_eq!(end, as_of(&message).div_euclid(1000) + 1, "now moves on");
        assert_eq!(created_in(&message), i64::from(leaves_at.div_euclid(1000) >= end - 60));
        let age = length_ms(message.realtime.as_ref().unwrap().longest_task_waiting_age.as_ref().unwrap());
        assert_eq!(age, as_of(&message) - leaves_at);
        before = message;
    }
    let (start_time, end_time) = (Some(at(leaves_at - 1000)), Some(at(leaves_at + 1000)));
    let mut fixed = watch(&client, Asked { start_time, end_time, ..paced(10, 100) }).await;
    for _ in 0..5 {
        assert_eq!(created_in(&next(&mut fixed).await), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_messages_lies_min_interval_however_many_events_come() {
    const MIN_INTERVAL_MS: i64 = 300;
    let (_server, client) = scene().await;
    let mut watch = watch(&client, paced(MIN_INTERVAL_MS as u64, 3_600_000)).await;
    let sender = client.clone();
    let sending = tokio::spawn(async move {
        for number in 2.. {
            sender.accept(vec![created(number, &workspace(), now_ms(), "voice")]).await;
        }
    });
    let mut before: Option<WorkspaceStatistics> = None;
    for _ in 0..6 {
        let message = next(&mut watch).await;
        if let Some(before) = &before {
            let between = as_of(&message) - as_of(before);
            assert!(between >= MIN_INTERVAL_MS - 100, "{between} ms");
            assert!(created_in(&message) > created_in(before) && active(&message) > active(before));
        }
        before = Some(message);
    }
    sending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_with_every_bad_field_and_in_the_order_of_errors() {
    let (_server, client) = scene().await;
    let of = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let refused = async |asked: Asked| client.statistics().watch_statistics(asked).await.err().unwrap();
    let all = Asked {
        workspace_sid: "WS1".to_owned(),
        minutes: Some(0),
        split_by_wait_time: vec![0],
        min_interval: of(0, 1),
        heartbeat_interval: of(0, 1),
        ..Asked::default()
    };
    let fields = ["workspace_sid", "minutes", "split_by_wait_time", "min_interval", "heartbeat_interval"];
    assert_told(&refused(all).await, Code::InvalidArgument, "BAD_FIELDS", false, &fields);
    let of_unknown = |start_ms| Asked { workspace_sid: sid("WS", 2), start_time: Some(at(start_ms)), ..quiet() };
    let ahead = refused(of_unknown(now_ms() + 3_600_000)).await;
    assert_told(&ahead, Code::InvalidArgument, "BAD_FIELDS", false, &["start_time"]);
    let too_old = of_unknown(now_ms() - 31 * 86_400_000);
    assert_told(&refused(too_old.clone()).await, Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    let known = Asked { workspace_sid: workspace(), ..too_old };
    assert_told(&refused(known).await, Code::OutOfRange, "START_TOO_OLD", false, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_as_watch_realtime_does() {
    let people = People::of(&[("reader", "all", r#"["read"]"#), ("all", "all", r#"["ingest", "admin"]"#)]);
    let server = people.launch().start();
    let client = Client::to(&server).await;
    common::people::send(&client, &people.bearer("all"), vec![created(1, &workspace(), now_ms(), "voice")]).await;
    let open = async |asked: Asked, deadline: Option<Duration>| {
        let mut request = shown(&people.bearer("reader"), asked);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let mut watch = client.statistics().watch_statistics(request).await.unwrap().into_inner();
        next(&mut watch).await;
        watch
    };
    let mut watch = open(quiet(), Some(Duration::from_millis(700))).await;
    assert_told(&end_of(&mut watch).await, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", false, &[]);

    let mut watch = open(quiet(), None).await;
    let forget = tasktally::api::proto::v1::ForgetWorkspaceRequest { workspace_sid: workspace() };
    client.admin().forget_workspace(shown(&people.bearer("all"), forget)).await.unwrap();
    assert_told(&end_of(&mut watch).await, Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);

    let again = vec![created(1, &workspace(), now_ms(), "voice")];
    common::people::send(&client, &people.bearer("all"), again).await;
    let mut watch = open(quiet(), None).await;
    server.signal("TERM");
    assert_told(&end_of(&mut watch).await, Code::Unavailable, "SHUTTING_DOWN", true, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_a_seat_of_the_same_watchers_and_gives_it_back() {
    let server = Launch::ephemeral().with(["--max-watchers", "2"]).start();
    let client = Client::to(&server).await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    let mut realtime = client.watch(common::calls::quiet_watch(&workspace())).await.unwrap();
    common::calls::next(&mut realtime).await;
    let mut statistics = watch(&client, quiet()).await;
    next(&mut statistics).await;
    let refused = client.statistics().watch_statistics(quiet()).await.err().unwrap();
    assert_told(&refused, Code::ResourceExhausted, "TOO_MANY_WATCHERS", true, &[]);
    drop(statistics);
    eventually("its seat is free", async || client.statistics().watch_statistics(quiet()).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_different_watches_see_the_last_state_and_hold_up_no_event() {
    const WATCHES: i32 = 300;
    const CHANGES: u64 = 100;
    let (mut server, client) = scene().await;
    let mut following = JoinSet::new();
    for number in 1..=WATCHES {
        // Thresholds of its own for each, so that none shares the questions of another.
        let asked = Asked { split_by_wait_time: vec![number], minutes: Some(43_200), ..paced(50, 3_600_000) };
        let mut watch = watch(&client, asked).await;
        following.spawn(async move {
            loop {
                let message = next(&mut watch).await;
                assert!(message.cumulative.as_ref().unwrap().split_by_wait_time.contains_key(&number));
                if created_in(&message) == 1 + CHANGES as i64 {
                    return active(&message);
                }
            }
        });
    }
    for number in 2..=1 + CHANGES {
        let sent = client.accept(vec![created(number, &workspace(), now_ms(), "voice")]);
        in_time("an answer to an ingest", sent).await;
    }
    let seen = in_time("every watcher sees the last state", following.join_all()).await;
    assert_eq!(seen, vec![1 + CHANGES as i64; WATCHES as usize]);
    server.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_may_be_as_quick_as_ten_milliseconds_and_as_slow_as_an_hour() {
    let (_server, client) = scene().await;
    next(&mut watch(&client, paced(10, 100)).await).await;
    next(&mut watch(&client, paced(3_600_000, 3_600_000)).await).await;
}
