//! Questions and their answers, encoded: of the engine, and as a call meets them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tasktally::api::codec::Encoded;
use tasktally::api::encode::{self, Links, Stamp};
use tasktally::api::intake::Intake;
use tasktally::api::proto::v1::statistics_service_server::StatisticsService as _;
use tasktally::api::proto::{Timestamp, v1};
use tasktally::api::seats::Seats;
use tasktally::api::statistics::Statistics;
use tasktally::api::{Api, ApiLimits, standing};
use tasktally::engine::ChannelFilter;
use tasktally::event::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, WorkspaceSid};
use tasktally::letters::Letters;
use tasktally::pipeline::{Caller, Pipeline};
use tokio_util::sync::CancellationToken;
use tonic::Request;
use tower::ServiceExt as _;

use crate::measured;
use crate::stock::Stock;
use crate::supply::NOW;

/// What the services work with, as the server makes it.
pub fn api(pipeline: Pipeline) -> Api {
    let limits = ApiLimits::default();
    Api {
        pipeline,
        links: Arc::new(links()),
        limits,
        letters: Letters::default(),
        read_raw: tasktally::http::read_raw,
        seats: Seats::new(&limits),
        intake: Intake::new(&limits),
        process: standing::Process {
            started: Millis(NOW),
            retention: Duration::from_millis(30 * DAY_MS as u64),
            bounds: standing::Bounds::default(),
            look: Arc::new(standing::Look::default),
        },
        stop: CancellationToken::new(),
    }
}

fn links() -> Links {
    Links::new("http://localhost:50051")
}

/// A call of somebody who may do everything.
pub fn call<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::everything());
    request
}

fn workspace_of(stock: &Stock) -> WorkspaceSid {
    stock.next(1)[0][0].workspace
}

/// The engine's own answer after each change, and what is sent of it.
pub fn realtime_engine(stock: &Stock, count: usize) -> u64 {
    let (mut state, links, workspace) = (stock.state(), links(), workspace_of(stock));
    for event in stock.creations(count) {
        state.apply(&event, Millis(NOW));
        measured(|| {
            let realtime = state.realtime(&ChannelFilter::All, Millis(NOW));
            let stamp = Stamp { links: &links, workspace, revision: 1, as_of: Millis(NOW) };
            Encoded::new(&encode::realtime(stamp, &realtime))
        });
    }
    count as u64
}

/// GetRealtime after each change.
pub fn realtime(stock: &Stock, count: usize) -> u64 {
    let mut line = stock.line();
    let service = Statistics::new(api(line.pipeline.clone()));
    let question =
        v1::GetRealtimeRequest { workspace_sid: workspace_of(stock).to_string(), task_channel: String::new() };
    // The first finds no view, and leaves one that each event from then on renews.
    line.ask(service.get_realtime(call(question.clone()))).expect("an answer");
    for event in stock.creations(count) {
        line.take(vec![event]);
        let question = call(question.clone());
        measured(|| line.ask(service.get_realtime(question)).expect("an answer"));
    }
    count as u64
}

/// The same over HTTP, in TaskRouter's form.
pub fn realtime_json(stock: &Stock, count: usize) -> u64 {
    let mut line = stock.line();
    let router = tasktally::http::router(&api(line.pipeline.clone()), false);
    let path = format!("/v1/Workspaces/{}/RealTimeStatistics", workspace_of(stock));
    for event in stock.creations(count) {
        line.take(vec![event]);
        let mut request = http::Request::get(&path).body(Body::empty()).expect("a request");
        request.extensions_mut().insert(Caller::everything());
        let router = router.clone();
        let text = measured(|| {
            line.ask(async {
                let response = router.oneshot(request).await.expect("an answer");
                assert_eq!(response.status(), http::StatusCode::OK);
                response.into_body().collect().await.expect("a text").to_bytes()
            })
        });
        assert!(text.starts_with(b"{"), "an object");
    }
    count as u64
}

pub fn cumulative_15min(stock: &Stock, count: usize) -> u64 {
    cumulative(stock, count, 15 * MINUTE_MS)
}

pub fn cumulative_8h(stock: &Stock, count: usize) -> u64 {
    cumulative(stock, count, 8 * HOUR_MS)
}

pub fn cumulative_30d(stock: &Stock, count: usize) -> u64 {
    cumulative(stock, count, 30 * DAY_MS - HOUR_MS)
}

/// GetCumulative of an interval of this length, with two thresholds, that begins at any second within what is retained.
fn cumulative(stock: &Stock, count: usize, length_ms: i64) -> u64 {
    let mut line = stock.line();
    let service = Statistics::new(api(line.pipeline.clone()));
    let workspace_sid = workspace_of(stock).to_string();
    let (oldest_s, spare_s) = (NOW / 1000 - 30 * DAY_MS / 1000 + 1, (30 * DAY_MS - length_ms) / 1000 - 2);
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    for number in 0..count as i64 {
        let start = oldest_s + number * 7_919_993 % spare_s;
        let question = call(v1::GetCumulativeRequest {
            workspace_sid: workspace_sid.clone(),
            start_time: at(start),
            end_time: at(start + length_ms / 1000),
            split_by_wait_time: vec![20, 120],
            ..Default::default()
        });
        measured(|| line.ask(service.get_cumulative(question)).expect("an answer"));
    }
    count as u64
}
