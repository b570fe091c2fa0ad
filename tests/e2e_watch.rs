//! WatchRealtime over real connections: what is pushed, when, and what a watcher costs the others and the server.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::calls::{Client, end_of, next, quiet_watch};
use common::details::assert_told;
use common::events::{bare, created, length, length_ms, ms, now_ms, sid, task, worker};
use common::process::{Launch, Server};
use common::{eventually, in_time, stalled};
use tasktally::api::proto::v1::{self, EventType, TaskAssignmentStatus as Status};
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

fn workspace() -> String {
    sid("WS", 1)
}

async fn scene() -> (Server, Client) {
    let server = Launch::ephemeral().start();
    let client = Client::to(&server).await;
    (server, client)
}

/// A watch of all channels with these intervals, in milliseconds.
fn paced(min_interval: u64, heartbeat: u64) -> v1::WatchRealtimeRequest {
    v1::WatchRealtimeRequest {
        min_interval: Some(length(Duration::from_millis(min_interval))),
        heartbeat_interval: Some(length(Duration::from_millis(heartbeat))),
        ..quiet_watch(&workspace())
    }
}

fn as_of(realtime: &v1::WorkspaceRealtimeStatistics) -> i64 {
    ms(realtime.as_of.as_ref().unwrap())
}

/// The first message of a new watch, which must not be older than the call.
async fn first_message(client: &Client) -> v1::WorkspaceRealtimeStatistics {
    let called = now_ms();
    let first = next(&mut client.watch(quiet_watch(&workspace())).await.unwrap()).await;
    assert!(as_of(&first) >= called, "{} is before {called}", as_of(&first));
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_comes_at_once_and_is_never_older_than_the_call() {
    let (_server, client) = scene().await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    // Somebody watches already, so that there is a shared message that could be too old.
    let mut other = client.watch(paced(10, 100)).await.unwrap();
    let other = tokio::spawn(async move { while let Ok(Some(_)) = other.message().await {} });
    for count in 2..52 {
        let revision = client.accept(vec![created(count, &workspace(), now_ms(), "voice")]).await;
        let first = first_message(&client).await;
        // Once more without a change: the message that the others share would do, were it not older than the call.
        first_message(&client).await;
        assert!(first.revision >= revision, "{} is before {revision}", first.revision);
        assert_eq!(first.total_tasks, count as i64);
        let read = client.realtime(&workspace(), "").await.unwrap();
        assert_eq!(read.tasks_by_status, first.tasks_by_status, "each message is complete");
        assert_eq!((read.url, read.account_sid), (first.url, first.account_sid));
    }
    other.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_pushed_and_what_changes_no_figure_is_not() {
    let (_server, client) = scene().await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    let mut watch = client.watch(quiet_watch(&workspace())).await.unwrap();
    let mut revision = next(&mut watch).await.revision;
    for count in 2..20 {
        client.accept(vec![bare(1000 + count, EventType::WorkspaceUpdated, &workspace(), now_ms())]).await;
        let changed = client.accept(vec![created(count, &workspace(), now_ms(), "voice")]).await;
        // The heartbeat is an hour: only a change can bring this.
        let message = next(&mut watch).await;
        assert_eq!(message.total_tasks, count as i64);
        assert!(message.revision >= changed && changed > revision);
        revision = message.revision;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_messages_lies_min_interval_and_each_shows_the_latest_state() {
    const MIN_INTERVAL_MS: i64 = 300;
    /// As old as a message may be when it is handed to the transport.
    const MOST_AGE_MS: i64 = 100;
    let (_server, client) = scene().await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    let mut watch = client.watch(paced(MIN_INTERVAL_MS as u64, 3_600_000)).await.unwrap();
    // When an answer was there, and its revision.
    let answered = Arc::new(Mutex::new(Vec::new()));
    let (noted, sender) = (answered.clone(), client.clone());
    let sending = tokio::spawn(async move {
        for number in 2.. {
            let revision = sender.accept(vec![created(number, &workspace(), now_ms(), "voice")]).await;
            noted.lock().unwrap().push((now_ms(), revision));
        }
    });
    let mut moments = Vec::new();
    while moments.len() < 6 {
        let message = next(&mut watch).await;
        let before = answered.lock().unwrap().iter().filter(|(at, _)| *at < as_of(&message)).map(|(_, r)| *r).max();
        assert!(Some(message.revision) >= before, "{} is not the latest: {before:?}", message.revision);
        moments.push(as_of(&message));
    }
    sending.abort();
    for pair in moments.windows(2) {
        assert!(pair[1] - pair[0] >= MIN_INTERVAL_MS - MOST_AGE_MS, "{moments:?}");
    }
    let answers = answered.lock().unwrap().len();
    assert!(answers > moments.len(), "{answers} changes, so that some states were skipped");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_change_each_heartbeat_brings_a_new_moment_and_what_time_alone_changes() {
    const HEARTBEAT_MS: i64 = 200;
    let (_server, client) = scene().await;
    // Five minutes after its end, in a second, a completed task no longer shows; another one waits all the time.
    let (gone_at, waits_since) = (now_ms() + 1_000, now_ms() - 60_000);
    let ended = v1::Event {
        task: Some(task(1, Status::Completed, gone_at - 400_000, "voice")),
        ..bare(1, EventType::TaskCompleted, &workspace(), gone_at - 300_000)
    };
    let revision = client.accept(vec![ended, created(2, &workspace(), waits_since, "voice")]).await;
    let mut watch = client.watch(paced(10, HEARTBEAT_MS as u64)).await.unwrap();
    let mut before = next(&mut watch).await;
    let (mut beats, mut passed) = (0, false);
    while beats < 12 || !passed {
        let message = next(&mut watch).await;
        assert!(as_of(&message) > as_of(&before), "{} after {}", as_of(&message), as_of(&before));
        assert!(message.revision >= revision);
        assert_eq!(length_ms(message.longest_task_waiting_age.as_ref().unwrap()), as_of(&message) - waits_since);
        assert_eq!((message.total_tasks, &message.longest_task_waiting_sid), (1, &sid("WT", 2)));
        let completed = message.tasks_by_status.as_ref().unwrap().completed;
        assert_eq!(completed, i64::from(as_of(&message) < gone_at), "at {}, gone at {gone_at}", as_of(&message));
        passed |= completed == 0;
        beats += 1;
        before = message;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_watch_with_deadline_exceeded() {
    let (_server, client) = scene().await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    let mut request = Request::new(paced(10, 100));
    request.set_timeout(Duration::from_millis(700));
    let mut watch = client.statistics().watch_realtime(request).await.unwrap().into_inner();
    next(&mut watch).await;
    next(&mut watch).await;
    assert_told(&end_of(&mut watch).await, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", false, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_with_every_bad_field() {
    let (_server, client) = scene().await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    let of = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let (min, heartbeat) = ("min_interval", "heartbeat_interval");
    let cases = [
        (workspace(), of(0, 9_999_999), None, vec![min]),
        (workspace(), of(3601, 0), None, vec![min]),
        (workspace(), of(-1, 0), None, vec![min]),
        (workspace(), None, of(0, 99_999_999), vec![heartbeat]),
        (workspace(), None, of(3600, 1), vec![heartbeat]),
        (workspace(), of(1, 0), of(0, 999_000_000), vec![heartbeat]),
        (workspace(), of(0, 0), of(-5, 0), vec![min, heartbeat]),
        ("WS1".to_owned(), of(0, 1), of(0, 1), vec!["workspace_sid", min, heartbeat]),
        (String::new(), None, None, vec!["workspace_sid"]),
    ];
    for (workspace_sid, min_interval, heartbeat_interval, fields) in cases {
        let request =
            v1::WatchRealtimeRequest { workspace_sid, task_channel: String::new(), min_interval, heartbeat_interval };
        let refused = client.watch(request).await.unwrap_err();
        let told = assert_told(&refused, Code::InvalidArgument, "BAD_FIELDS", false, &fields);
        assert_eq!(told.metadata("fields"), fields.join(","));
    }
    let unknown = client.watch(quiet_watch(&sid("WS", 2))).await.unwrap_err();
    let told = assert_told(&unknown, Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);
    assert_eq!(told.metadata("workspace_sid"), sid("WS", 2));
    // The least and the longest are both good.
    next(&mut client.watch(paced(10, 100)).await.unwrap()).await;
    next(&mut client.watch(paced(3_600_000, 3_600_000)).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_channel_shows_zeros_until_it_appears() {
    let (_server, client) = scene().await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice"), worker(2, &workspace(), now_ms(), 1)]).await;
    for (channel, number) in [("fax", 10), (sid("TC", 0xfa).as_str(), 11)] {
        let request = v1::WatchRealtimeRequest { task_channel: channel.to_owned(), ..quiet_watch(&workspace()) };
        let mut watch = client.watch(request).await.unwrap();
        let first = next(&mut watch).await;
        assert_eq!((first.total_tasks, first.tasks_by_status), (0, Some(v1::TasksByStatus::default())), "{channel}");
        assert_eq!((first.total_workers, first.longest_task_waiting_sid), (1, String::new()), "{channel}");
        let mut event = created(number, &workspace(), now_ms(), if number == 10 { "fax" } else { "telex" });
        if number == 11 {
            event.task.as_mut().unwrap().task_channel_sid = sid("TC", 0xfa);
        }
        client.accept(vec![event]).await;
        let second = next(&mut watch).await;
        assert_eq!((second.total_tasks, second.tasks_by_status.unwrap().pending), (1, 1), "{channel}");
        assert_eq!(second.longest_task_waiting_sid, sid("WT", number), "{channel}");
    }
}

/// Answers are not compressed, whether or not their callers would take it: one encoding serves all who watch the same.
#[tokio::test(flavor = "multi_thread")]
async fn who_shares_a_change_gets_the_figures_of_its_channel_whether_or_not_it_would_take_gzip() {
    let (_server, client) = scene().await;
    let events = |from| [(from, "voice"), (from + 1, "fax")].map(|(n, name)| created(n, &workspace(), now_ms(), name));
    client.accept(events(1).into()).await;
    let mut watches = Vec::new();
    for (channel, tasks, longest) in [("", 2, 1), ("voice", 1, 1), ("fax", 1, 2)] {
        for takes_gzip in [false, true] {
            let request = v1::WatchRealtimeRequest { task_channel: channel.to_owned(), ..quiet_watch(&workspace()) };
            let statistics = client.statistics();
            let mut statistics =
                if takes_gzip { statistics.accept_compressed(CompressionEncoding::Gzip) } else { statistics };
            let answer = statistics.watch_realtime(request).await.unwrap();
            assert!(answer.metadata().get("grpc-encoding").is_none());
            let mut watch = answer.into_inner();
            assert_eq!(next(&mut watch).await.total_tasks, tasks, "{channel}");
            watches.push((watch, channel, 2 * tasks, longest));
        }
    }
    client.accept(events(3).into()).await;
    for (mut watch, channel, tasks, longest) in watches {
        let second = next(&mut watch).await;
        assert_eq!(second.total_tasks, tasks, "{channel}");
        assert_eq!(second.longest_task_waiting_sid, sid("WT", longest), "{channel}");
    }
}

/// Reads a watch until it shows so many tasks; nothing may go back on the way. Answers how many messages that took.
async fn follow(mut watch: tonic::Streaming<v1::WatchRealtimeResponse>, tasks: i64) -> usize {
    let (mut revision, mut total) = (0, 0);
    for messages in 1.. {
        let message = next(&mut watch).await;
        assert!(message.revision >= revision, "revision {} after {revision}", message.revision);
        assert!(message.total_tasks >= total, "{} tasks after {total}", message.total_tasks);
        (revision, total) = (message.revision, message.total_tasks);
        if total == tasks {
            return messages;
        }
    }
    unreachable!("a watch has no end of messages")
}

#[tokio::test(flavor = "multi_thread")]
async fn among_a_thousand_watchers_one_that_reads_nothing_slows_down_nobody() {
    const CONNECTIONS: u64 = 20;
    const WATCHES_EACH: u64 = 50;
    const CHANGES: u64 = 150;
    let (mut server, client) = scene().await;
    let busy = (1..=60).map(|number| worker(number, &workspace(), now_ms(), number));
    client.accept(busy.chain([created(1_000, &workspace(), now_ms(), "voice")]).collect()).await;

    // One whose stream has room for 100 bytes, on a connection whose other streams are read; and one whose socket is
    // not read at all. Both want everything.
    let narrow = Endpoint::from_shared(server.url()).unwrap().initial_stream_window_size(100);
    let narrow = Client::at(narrow).await;
    let unread = narrow.watch(paced(10, 3_600_000)).await.unwrap();
    let (deaf_client, deaf) = stalled::client(&server).await;
    let mut never_read = deaf_client.watch(paced(10, 3_600_000)).await.unwrap();
    next(&mut never_read).await;
    deaf.set();

    let mut watchers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = Client::to(&server).await;
        for _ in 0..WATCHES_EACH {
            let client = client.clone();
            watchers.spawn(async move {
                let mut watch = client.watch(paced(400, 3_600_000)).await.unwrap();
                assert_eq!(next(&mut watch).await.total_tasks, 1);
                watch
            });
        }
    }
    let mut neighbour = narrow.watch(paced(400, 3_600_000)).await.unwrap();
    next(&mut neighbour).await;
    let watches = in_time("every watch begins", watchers.join_all()).await;
    assert_eq!(watches.len(), 1_000);

    let tasks = 1 + CHANGES as i64;
    let mut following = JoinSet::new();
    for watch in watches.into_iter().chain([neighbour]) {
        following.spawn(follow(watch, tasks));
    }
    for number in 1..=CHANGES {
        let sent = client.accept(vec![created(1_000 + number, &workspace(), now_ms(), "voice")]);
        in_time("an answer to an ingest", sent).await;
    }
    let counts = in_time("every watcher sees the last state", following.join_all()).await;
    assert_eq!(counts.len(), 1_001);
    // What was under way when nobody read: one message with the client, one with the transport; then the last state.
    let late = follow(unread, tasks).await;
    assert!(late <= 4, "{late} messages were kept for a watcher that read nothing");
    server.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_watch_frees_what_it_held() {
    const WATCHES: u64 = 500;
    const WARM_UP: u64 = 12;
    const ROUNDS: u64 = 28;
    let (mut server, client) = scene().await;
    client.accept(vec![created(1, &workspace(), now_ms(), "voice")]).await;
    // A channel for each, so that each has a feed of its own. The names of all rounds differ.
    let open = async |round: u64| {
        let mut opening = JoinSet::new();
        for number in 0..WATCHES {
            let (client, request) = (client.clone(), quiet_watch(&workspace()));
            let task_channel = format!("channel {round} {number}");
            opening.spawn(async move {
                let mut watch = client.watch(v1::WatchRealtimeRequest { task_channel, ..request }).await.unwrap();
                next(&mut watch).await;
                watch
            });
        }
        in_time("watches begin", opening.join_all()).await
    };
    // The allocator settles first. Then a kilobyte left behind by each watch would come to fourteen megabytes.
    for round in 0..WARM_UP {
        drop(open(round).await);
    }
    let (before, threads) = (server.resident_bytes(), server.threads());
    for round in WARM_UP..WARM_UP + ROUNDS {
        drop(open(round).await);
    }
    println!("resident: {before} bytes before, {} after {} watches", server.resident_bytes(), ROUNDS * WATCHES);
    eventually("memory is what it was", async || {
        let grown = server.resident_bytes().saturating_sub(before);
        (grown < 4 << 20 && server.threads() <= threads).then_some(())
    })
    .await;
    server.assert_sound();
}
