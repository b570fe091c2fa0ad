//! What it costs to answer, against a bare service that takes and gives messages of the same sizes.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message;
use tasktally::api::proto::v1::{GetCumulativeRequest, GetRealtimeRequest, WorkspaceCumulativeStatistics};
use tasktally::bench::bare;

use super::figures::{ROUNDS, Table, median};
use super::load::measure;
use super::{Events, Pair};

const REALTIME: &str = "/tasktally.v1.StatisticsService/GetRealtime";
const CUMULATIVE: &str = "/tasktally.v1.StatisticsService/GetCumulative";
const CALLS: usize = 10_000;
const IN_FLIGHT: usize = 64;

pub async fn realtime(table: &Table, pair: &Pair, workspace_sid: &str) {
    let question = GetRealtimeRequest { workspace_sid: workspace_sid.to_owned(), ..Default::default() };
    compare(table, pair, "GetRealtime", REALTIME, vec![question.encode_to_vec().into()]).await;
}

pub async fn cumulative(table: &Table, pair: &Pair, events: &Events) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs() as i64;
    let last = events.last_ms / 1000;
    let thresholds = [5, 30, 60, 120, 300, 600, 1800, 7200];
    // The events end before now, and intervals without any would say little; those of 30 days begin within the retention.
    let windows = [("15 min", 900, last), ("8 h", 8 * 3600, last), ("30 d", 30 * 86_400 - 4 * 3600, now)];
    for (window, seconds, latest) in windows {
        for split in [0, 2, 8] {
            // Edges of many intervals, none on a bound of the hierarchy but by chance.
            let question = |shift: i64| {
                let end = latest - 600 - (shift * 7919) % 7200;
                let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
                let question = GetCumulativeRequest {
                    workspace_sid: events.workspace_sid.clone(),
                    start_time: at(end - seconds),
                    end_time: at(end),
                    split_by_wait_time: thresholds[..split].to_vec(),
                    ..Default::default()
                };
                Bytes::from(question.encode_to_vec())
            };
            let what = format!("GetCumulative, {window}, {split} thresholds");
            let questions: Vec<Bytes> = (0..100).map(question).collect();
            let answer = pair.to_ours.call(CUMULATIVE, questions[0].clone()).await;
            let answer = WorkspaceCumulativeStatistics::decode(answer).expect("statistics");
            assert!(answer.tasks_created > 0, "an interval without events");
            compare(table, pair, &what, CUMULATIVE, questions).await;
        }
    }
}

/// The same number of calls to both, in turns.
async fn compare(table: &Table, pair: &Pair, what: &str, path: &'static str, questions: Vec<Bytes>) {
    let answer_bytes = pair.to_ours.call(path, questions[0].clone()).await.len() as u32;
    let ask = bare::Ask { pad: vec![1; questions[0].len()], answer_bytes };
    let asks: Arc<[Bytes]> = vec![Bytes::from(ask.encode_to_vec()); CALLS].into();
    let questions: Arc<[Bytes]> = questions.into_iter().cycle().take(CALLS).collect();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(measure(&pair.ours, pair.to_ours.call_all(path, &questions, IN_FLIGHT, |_| {})).await);
        bare.push(measure(&pair.bare, pair.to_bare.call_all(bare::ASK, &asks, IN_FLIGHT, |_| {})).await);
    }
    let calls = CALLS as f64;
    let [ours_us, bare_us] = [&ours, &bare].map(|costs| median(costs.iter().map(|cost| cost.cpu_us / calls)));
    let [ours_rate, bare_rate] = [&ours, &bare].map(|costs| median(costs.iter().map(|cost| calls / cost.seconds)));
    table.cpu(&format!("{what}: CPU a call"), ours_us, bare_us);
    table.rate(&format!("{what}: calls"), ours_rate, bare_rate);
}
