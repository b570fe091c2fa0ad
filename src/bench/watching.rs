//! How soon a watcher sees what was acknowledged, while another workspace is loaded.

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::events::Events;
use super::load::{Client, histogram};
use super::report::{Latency, Watch};
use super::{INGEST, accepted, all_accepted};
use crate::api::proto::v1::{WatchRealtimeRequest, WatchRealtimeResponse};
use crate::cli::failure::Failure;
use crate::limits;

const WATCH: &str = "/tasktally.v1.StatisticsService/WatchRealtime";
/// Between two changes of the watched workspace: longer than the least interval of the watch, so that none waits for it.
const EVERY: Duration = Duration::from_millis(25);
/// Of the load's calls.
pub const LOAD_BATCH: usize = 100;
/// A change that no message shows within this time ends the measurement.
const MOST_WAIT: Duration = Duration::from_secs(60);

const _: () = assert!(EVERY.as_millis() > limits::WATCH_MIN_INTERVAL_MIN.as_millis());

/// Sees so many changes, or as many as fit into the time.
pub async fn watch(
    client: &Client,
    watched: &mut Events,
    load: &mut Events,
    load_events_per_second: f64,
    changes: usize,
    at_most: Duration,
) -> Result<Watch, Failure> {
    let interval = prost_types::Duration { seconds: 0, nanos: limits::WATCH_MIN_INTERVAL_MIN.as_nanos() as i32 };
    // The workspace must be there before it can be watched.
    all_accepted(&client.call(0, INGEST, watched.creation()).await?)?;
    let question = WatchRealtimeRequest {
        workspace_sid: watched.workspace_sid.clone(),
        min_interval: Some(interval),
        ..Default::default()
    };
    let mut updates = client.watch(WATCH, question.encode_to_vec().into()).await?;
    let stop = CancellationToken::new();
    let every = Duration::from_secs_f64(LOAD_BATCH as f64 / load_events_per_second.max(1.0));
    // What is prepared need not last longer than the changes take.
    let batches = load_batches(load, load_events_per_second, at_most.min(2 * EVERY * changes as u32));
    let loading = tokio::spawn(keep_busy(client.clone(), batches, (stop.clone(), every)));
    let (begun, mut latency) = (Instant::now(), histogram());
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while latency.len() < changes as u64 && begun.elapsed() < at_most {
        clock.tick().await;
        let call = client.call(1, INGEST, watched.creation());
        let mut shown = (0, Instant::now());
        let (answer, acknowledged) = {
            // The message may come before the acknowledgement does.
            let mut call = std::pin::pin!(call);
            loop {
                tokio::select! {
                    answer = &mut call => break (answer?, Instant::now()),
                    message = updates.message() => shown = (revision_of(message)?, Instant::now()),
                }
            }
        };
        let revision = accepted(&answer)?.revision;
        while shown.0 < revision {
            let message = tokio::time::timeout(MOST_WAIT, updates.message()).await;
            let message = message.map_err(|_| Status::deadline_exceeded("no message shows what was acknowledged"))?;
            shown = (revision_of(message)?, Instant::now());
        }
        let late = shown.1.saturating_duration_since(acknowledged);
        latency.saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }
    let seconds = begun.elapsed().as_secs_f64();
    stop.cancel();
    let sent = loading.await.map_err(|error| Failure::Data(format!("the load ended: {error}")))??;
    Ok(Watch {
        changes: latency.len(),
        load_events_per_second: (sent * LOAD_BATCH) as f64 / seconds,
        latency: Latency::of(&latency),
    })
}

fn load_batches(load: &mut Events, events_per_second: f64, at_most: Duration) -> Vec<Bytes> {
    let events = (events_per_second * at_most.as_secs_f64()) as usize;
    (0..events.min(limits::BENCH_EVENTS_MAX).div_ceil(LOAD_BATCH)).map(|_| load.batch(LOAD_BATCH)).collect()
}

/// One call at each tick, whether the one before has been answered or not, until it is told to stop.
async fn keep_busy(
    client: Client,
    batches: Vec<Bytes>,
    (stop, every): (CancellationToken, Duration),
) -> Result<usize, Failure> {
    let mut clock = tokio::time::interval(every.max(Duration::from_micros(100)));
    let (mut calls, mut sent) = (tokio::task::JoinSet::new(), 0);
    for (number, batch) in batches.into_iter().enumerate() {
        tokio::select! {
            _ = clock.tick() => {}
            () = stop.cancelled() => break,
        }
        if calls.len() >= limits::CLIENT_IN_FLIGHT_MAX {
            sent += ended(calls.join_next().await)?;
        }
        let client = client.clone();
        calls.spawn(async move { all_accepted(&client.call(number, INGEST, batch).await?) });
    }
    while let Some(call) = calls.join_next().await {
        sent += ended(Some(call))?;
    }
    Ok(sent)
}

/// How many calls that is.
fn ended(call: Option<Result<Result<(), Failure>, tokio::task::JoinError>>) -> Result<usize, Failure> {
    let Some(call) = call else { return Ok(0) };
    call.map_err(|error| Failure::Data(format!("a call of the load ended: {error}")))??;
    Ok(1)
}

fn revision_of(message: Result<Option<Bytes>, Status>) -> Result<i64, Failure> {
    let message = message?.ok_or_else(|| Status::unavailable("the watch ended"))?;
    let update = WatchRealtimeResponse::decode(message)
        .map_err(|error| Failure::Data(format!("a message of the watch: {error}")))?;
    Ok(update.realtime.map_or(0, |realtime| realtime.revision))
}
