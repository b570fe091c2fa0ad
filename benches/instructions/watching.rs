//! WatchRealtime: an update from the change to the encoded message, for one watcher and for many of the same.

use std::thread::sleep;
use std::time::Duration;

use tasktally::api::proto::v1::statistics_service_server::StatisticsService as _;
use tasktally::api::proto::{self, v1};
use tasktally::api::statistics::Statistics;
use tokio_stream::StreamExt as _;

use crate::asking::{api, call};
use crate::measured;
use crate::stock::Stock;

/// Few enough that a state which has been written for the first is still fresh when the last one gets it, though Valgrind
/// slows all of it down.
const MANY: usize = 50;
/// A little more than the least time between two messages.
const PACE: Duration = Duration::from_millis(10);
const REST: Duration = Duration::from_millis(12);

pub fn one(stock: &Stock, count: usize) -> u64 {
    watch(stock, count, 1)
}

/// The state is written once for all of them.
pub fn many(stock: &Stock, count: usize) -> u64 {
    watch(stock, count, MANY)
}

fn watch(stock: &Stock, count: usize, watchers: usize) -> u64 {
    let mut line = stock.line();
    let service = Statistics::new(api(line.pipeline.clone()));
    let events = stock.creations(count);
    let question = v1::WatchRealtimeRequest {
        workspace_sid: events[0].workspace.to_string(),
        min_interval: Some(proto::Duration { seconds: 0, nanos: PACE.subsec_nanos() as i32 }),
        ..Default::default()
    };
    let mut watches = Vec::new();
    for _ in 0..watchers {
        watches.push(line.ask(service.watch_realtime(call(question.clone()))).expect("a watch").into_inner());
    }
    let mut read = |line: &crate::work::Line| {
        line.runtime.block_on(async {
            // Whoever rings for the watchers gets its turn before they look.
            tokio::task::yield_now().await;
            let mut bytes = 0;
            for watch in &mut watches {
                bytes += watch.next().await.expect("a message").expect("no end").as_bytes().len();
            }
            bytes
        })
    };
    read(&line);
    for event in events {
        line.take(vec![event]);
        sleep(REST);
        measured(|| read(&line));
    }
    (count * watchers) as u64
}
