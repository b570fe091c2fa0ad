//! Equality: while nothing of a workspace is under way, every answer about it must be the model's, whole.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tasktally::api::encode::{self, Links, Stamp};
use tasktally::api::proto::v1;
use tasktally::engine::{ChannelFilter, Window};
use tasktally::event::{Millis, Second};
use tonic::{Code, Status};

use super::look::CHANNELS;
use super::produce::connect;
use super::world::{Home, Known, RETENTION_MS, World, count};
use crate::common::calls::Client;
use crate::common::events::{at, ms};
use crate::common::in_time;

const THRESHOLDS: [i32; 5] = [1, 20, 60, 300, 3_600];

/// Compares one workspace after the other for as long as the run goes on.
pub async fn compare_in_turn(world: std::sync::Arc<World>, every: Duration) {
    let turn = AtomicUsize::new(0);
    while let Some((place, client)) = connect(&world).await {
        let home = &world.homes[turn.fetch_add(1, Ordering::Relaxed) % world.homes.len()];
        if let Err(status) = compare(&world, &client, &place.address, home).await {
            world.excuse(&place, "a question of the comparison", &status);
        }
        tokio::time::sleep(every).await;
    }
}

/// Every workspace, and the list of them.
pub async fn compare_all(world: &World, client: &Client, address: &str) {
    let request = v1::ListWorkspacesRequest { page_size: 1_000, ..Default::default() };
    let listed = client.statistics().list_workspaces(request).await.expect("an answer").into_inner();
    let listed: Vec<String> = listed.workspaces.into_iter().map(|row| row.workspace_sid).collect();
    let known = |home: &&Home| !home.known.lock().unwrap().model.accepted.is_empty();
    let mut expected: Vec<String> = world.homes.iter().filter(known).map(|home| home.sid.clone()).collect();
    expected.sort();
    assert_eq!(listed, expected);
    for home in &world.homes {
        compare(world, client, address, home).await.expect("an answer");
    }
}

/// Asks the server and the model the same, of one workspace that nothing is sent to meanwhile.
async fn compare(world: &World, client: &Client, address: &str, home: &Home) -> Result<(), Status> {
    let _quiet = home.gate.write().await;
    if home.known.lock().unwrap().model.accepted.is_empty() {
        return Ok(());
    }
    let links = Links::new(&format!("http://{address}"));
    let tc_sid = home.known.lock().unwrap().model.accepted.iter().find_map(|event| event.task.as_ref()?.channel_sid);
    let mut channels: Vec<String> = vec![String::new()];
    channels.extend(CHANNELS.map(str::to_owned));
    channels.extend(tc_sid.map(|sid| sid.to_string()));
    for channel in &channels {
        let found = client.realtime(&home.sid, channel).await?;
        same_realtime(&links, home, channel, &found);
        let mut watch = client
            .watch(v1::WatchRealtimeRequest {
                workspace_sid: home.sid.clone(),
                task_channel: channel.clone(),
                ..Default::default()
            })
            .await?;
        // The server may be stopped between the two: that is excused as for any question.
        let first = in_time("the first message of a watch", watch.message()).await?;
        let first = first.ok_or_else(|| Status::unavailable("the watch ended before its first message"))?;
        same_realtime(&links, home, channel, first.realtime.as_ref().expect("there"));
        drop(watch);
        for request in windows(home, channel, world.clock.now_ms()) {
            match client.cumulative(request.clone()).await {
                Ok(found) => same_cumulative(&links, home, &request, &found),
                Err(status) if has_become_too_old(world, &request, &status) => {}
                Err(status) => return Err(status),
            }
        }
        let request = v1::GetStatisticsRequest {
            workspace_sid: home.sid.clone(),
            task_channel: channel.clone(),
            minutes: Some(59),
            split_by_wait_time: THRESHOLDS.to_vec(),
            ..Default::default()
        };
        let both = client.statistics().get_statistics(request.clone()).await?.into_inner();
        same_realtime(&links, home, channel, both.realtime.as_ref().expect("there"));
        let v1::GetStatisticsRequest { workspace_sid, task_channel, minutes, start_time, end_time, split_by_wait_time } =
            request;
        let request =
            v1::GetCumulativeRequest { workspace_sid, task_channel, minutes, start_time, end_time, split_by_wait_time };
        same_cumulative(&links, home, &request, both.cumulative.as_ref().expect("there"));
        count(&world.counts.comparisons);
    }
    same_channels(world, client, home).await
}

/// Windows of every kind, up to nearly the retention.
fn windows(home: &Home, channel: &str, now_ms: i64) -> Vec<v1::GetCumulativeRequest> {
    let plain = v1::GetCumulativeRequest {
        workspace_sid: home.sid.clone(),
        task_channel: channel.to_owned(),
        split_by_wait_time: THRESHOLDS.to_vec(),
        ..Default::default()
    };
    let start = now_ms - RETENTION_MS + 120_000;
    vec![
        plain.clone(),
        v1::GetCumulativeRequest { minutes: Some(7), ..plain.clone() },
        v1::GetCumulativeRequest { start_time: Some(at(start)), ..plain.clone() },
        v1::GetCumulativeRequest {
            start_time: Some(at(start)),
            end_time: Some(at(start + 1_234_567)),
            ..plain.clone()
        },
        v1::GetCumulativeRequest { end_time: Some(at(now_ms - 1_234_567)), ..plain },
    ]
}

/// Whether it is no wonder that the window was refused: on a slow machine it left the retention on its way.
pub fn has_become_too_old(world: &World, request: &v1::GetCumulativeRequest, status: &Status) -> bool {
    let oldest_ms = world.clock.now_ms() - RETENTION_MS;
    status.code() == Code::OutOfRange && request.start_time.is_some_and(|start| ms(&start) < oldest_ms + 1_000)
}

fn stamp<'a>(links: &'a Links, home: &Home, revision: i64, as_of_ms: i64) -> Stamp<'a> {
    home.saw(revision);
    Stamp { links, workspace: home.id, revision, as_of: Millis(as_of_ms) }
}

fn same_realtime(links: &Links, home: &Home, channel: &str, found: &v1::WorkspaceRealtimeStatistics) {
    let as_of_ms = ms(&found.as_of.expect("an answer says when"));
    let known = home.known.lock().unwrap();
    let realtime = known.model.realtime(home.id, &ChannelFilter::parse(channel), Millis(as_of_ms));
    let stamp = stamp(links, home, found.revision, as_of_ms);
    let expected = encode::realtime(stamp, &realtime.expect("it has events"));
    assert_eq!(found, &expected, "real-time figures of channel {channel:?}");
}

fn same_cumulative(
    links: &Links,
    home: &Home,
    request: &v1::GetCumulativeRequest,
    found: &v1::WorkspaceCumulativeStatistics,
) {
    let as_of_ms = ms(&found.as_of.expect("an answer says when"));
    let moment = |time: &prost_types::Timestamp| Millis(ms(time));
    let window = match (request.minutes, request.start_time.as_ref(), request.end_time.as_ref()) {
        (Some(minutes), _, _) => Window::Minutes(minutes as u32),
        (None, Some(start), Some(end)) => Window::Between { start: moment(start), end: moment(end) },
        (None, Some(start), None) => Window::From(moment(start)),
        (None, None, Some(end)) => Window::Until(moment(end)),
        (None, None, None) => Window::Default15,
    };
    let known = home.known.lock().unwrap();
    let Known { model, .. } = &*known;
    let range = model.interval(window, Millis(as_of_ms)).expect("a window of the retention");
    assert!(range.start() > Second(0));
    let thresholds: Vec<u32> = request.split_by_wait_time.iter().map(|&threshold| threshold as u32).collect();
    let cumulative = model.cumulative(home.id, &ChannelFilter::parse(&request.task_channel), range, &thresholds);
    let stamp = stamp(links, home, found.revision, as_of_ms);
    let expected = encode::cumulative(stamp, &cumulative.expect("it has events"));
    assert_eq!(found, &expected, "{request:?}");
}

/// The list says no moment, and silent tasks are dropped as time passes: it must be right at some moment of the call.
async fn same_channels(world: &World, client: &Client, home: &Home) -> Result<(), Status> {
    let at_most_ms = 10;
    let expected = |now_ms: i64| -> Vec<v1::TaskChannel> {
        let known = home.known.lock().unwrap();
        known.model.channels(home.id, Millis(now_ms)).iter().map(encode::task_channel).collect()
    };
    let before_ms = world.clock.now_ms();
    let request = v1::ListTaskChannelsRequest { workspace_sid: home.sid.clone(), ..Default::default() };
    let found = client.statistics().list_task_channels(request).await?.into_inner().task_channels;
    let after_ms = world.clock.now_ms();
    let edges = home.known.lock().unwrap().model.edges_after(home.id, Millis(before_ms - at_most_ms));
    let mut moments = vec![before_ms, after_ms];
    moments.extend(edges.into_iter().map(|edge| edge.0).filter(|edge| (before_ms..=after_ms).contains(edge)));
    assert!(
        moments.iter().any(|&now_ms| expected(now_ms) == found),
        "{found:?}\nis not what it was at any of {moments:?}, such as {:?}",
        expected(before_ms)
    );
    Ok(())
}
