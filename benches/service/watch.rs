//! What it costs to tell many watchers, against a bare service that streams messages of the same size as often.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tasktally::api::proto::v1::WatchRealtimeRequest;
use tasktally::bench::bare::Ask;
use tokio::task::JoinSet;

use super::figures::{ROUNDS, Table, median};
use super::load::{Client, all_accepted, measure};
use super::{Events, Pair, Service, echo};

const WATCH: &str = "/tasktally.v1.StatisticsService/WatchRealtime";
const INGEST: &str = "/tasktally.v1.IngestService/IngestEvents";
const WATCHERS: usize = 10_000;
const CONNECTIONS: usize = 100;
/// Between two changes: long enough for two cores to tell everybody of one before the next, on both sides.
pub const EVERY: Duration = Duration::from_millis(500);
/// Changes in a round, and the events of each.
const CHANGES: usize = 6;
const CHANGE: usize = 10;
/// All that it takes.
pub const EVENTS: usize = ROUNDS * CHANGES * CHANGE;

/// Watchers that count what they are told.
struct Audience {
    told: Arc<AtomicU64>,
    watching: JoinSet<()>,
}

impl Audience {
    async fn gather(service: &Service, path: &'static str, question: Bytes) -> Audience {
        let client = Client::connect(service.address, CONNECTIONS).await;
        let (told, mut watching) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        for number in 0..WATCHERS {
            let (client, question, told) = (client.clone(), question.clone(), told.clone());
            watching.spawn(async move {
                let mut updates = client.watch(number, path, question).await;
                while let Ok(Some(_)) = updates.message().await {
                    told.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let audience = Audience { told, watching };
        while audience.told() < WATCHERS as u64 {
            tokio::time::sleep(EVERY).await;
        }
        audience
    }

    fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }
}

pub async fn fan_out(table: &Table, pair: &Pair, events: &mut Events) {
    let question = WatchRealtimeRequest {
        workspace_sid: events.workspace_sid.clone(),
        min_interval: Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 }),
        ..Default::default()
    };
    let question = Bytes::from(question.encode_to_vec());
    let first = pair.to_ours.watch(0, WATCH, question.clone()).await.message().await;
    let answer_bytes = first.expect("a watch").expect("a first state").len() as u32;
    // Its seat is the last one of the account until the server has heard that it is free.
    tokio::time::sleep(EVERY).await;

    let before = pair.ours.resident_bytes();
    let mut audience = Audience::gather(&pair.ours, WATCH, question.clone()).await;
    let mut ours = Vec::new();
    for _ in 0..ROUNDS {
        let told = audience.told();
        let cost = measure(&pair.ours, change(pair, events)).await;
        ours.push(cost.cpu_us / (audience.told() - told).max(1) as f64);
    }
    let watcher_bytes = (pair.ours.resident_bytes() - before) / WATCHERS as f64;
    audience.watching.shutdown().await;
    let bare_before = pair.bare.resident_bytes();

    let ask = Ask { pad: vec![1; question.len()], answer_bytes };
    let audience = Audience::gather(&pair.bare, echo::WATCH, ask.encode_to_vec().into()).await;
    let mut bare = Vec::new();
    for _ in 0..ROUNDS {
        let told = audience.told();
        let cost = measure(&pair.bare, tokio::time::sleep(EVERY * CHANGES as u32)).await;
        bare.push(cost.cpu_us / (audience.told() - told).max(1) as f64);
    }
    let bare_watcher_bytes = (pair.bare.resident_bytes() - bare_before) / WATCHERS as f64;
    let what = format!("WatchRealtime, 10,000 watchers, {answer_bytes} bytes: CPU");
    table.cpu(&what, median(ours), median(bare));
    table.bytes("  resident bytes a watcher, connections included", watcher_bytes, bare_watcher_bytes);
}

/// Some changes, one after another; what they cost themselves is a hundredth of what telling of them does.
async fn change(pair: &Pair, events: &mut Events) {
    let mut clock = tokio::time::interval(EVERY);
    clock.tick().await;
    for batch in events.batches(CHANGES, CHANGE) {
        all_accepted(&pair.to_ours.call(INGEST, batch).await);
        clock.tick().await;
    }
}
