//! `/wallboard/stream`: everything that a board shows, pushed as server-sent events.
//!
//! `realtime` is the watch in the page's own form: at each change, at most one in 100 ms, and a heartbeat each two seconds,
//! by which the page tells quiet from a broken connection. `windows` comes beside it. Where the server ends a stream it says
//! why in a last event, `error`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tokio_stream::Stream;

use super::asked::Asked;
use super::windows::{Shelf, Windows};
use crate::api::Api;
use crate::api::codec::Encoded;
use crate::api::decode;
use crate::api::feed::Hub;
use crate::api::proto::{Duration, Timestamp, v1};
use crate::api::status::ApiError;
use crate::api::watch::{self, Watch};
use crate::http::problem::{Problem, problem};
use crate::limits;
use crate::pipeline::Topic;
use crate::server::LastWords;

/// What streams are made from.
#[derive(Clone)]
pub struct Desk {
    api: Api,
    hub: Arc<Hub<Topic>>,
    shelf: Arc<Shelf>,
}

impl Desk {
    pub fn new(api: &Api) -> Desk {
        let hub = Arc::new(Hub::new(api.links.clone(), event, api.stop.clone()));
        Desk { api: api.clone(), hub, shelf: Arc::new(Shelf::new(&api.pipeline)) }
    }
}

pub async fn open(State(desk): State<Desk>, asked: Asked) -> Response {
    match begin(&desk, &asked).await {
        Ok(events) => {
            let mut response = Response::new(Body::from_stream(events));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            // nginx and its like would hold events back until they have a page of them.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            response.extensions_mut().insert(LastWords(last));
            response
        }
        Err(problem) => problem.into_response(),
    }
}

async fn begin(desk: &Desk, asked: &Asked) -> Result<Events, Problem> {
    let within = asked.word("within");
    let within: u32 = if within.is_empty() { limits::WALLBOARD_WITHIN_S } else { within.parse().unwrap_or(0) };
    if !(1..=limits::WALLBOARD_WITHIN_MOST_S).contains(&within) {
        let message =
            format!("within must be a whole number of seconds, from 1 to {}", limits::WALLBOARD_WITHIN_MOST_S);
        return Err(Problem::invalid(message));
    }
    let heartbeat = Duration { seconds: limits::WALLBOARD_HEARTBEAT.as_secs().cast_signed(), nanos: 0 };
    let request = v1::WatchRealtimeRequest {
        workspace_sid: asked.word("workspace"),
        task_channel: asked.word("channel"),
        min_interval: None,
        heartbeat_interval: Some(heartbeat),
    };
    let request = decode::watch_realtime(request).map_err(|bad| problem(ApiError::BadFields(bad)))?;
    let key = (request.workspace, request.channel.clone(), within);
    let watch = watch::begin(&desk.api, &desk.hub, &asked.caller, request).await.map_err(problem)?;
    Ok(Events { watch, windows: desk.shelf.windows(asked.caller, key), has_begun: false, has_ended: false })
}

#[derive(Serialize)]
struct Realtime<'a> {
    workspace_sid: &'a str,
    as_of_ms: i64,
    revision: i64,
    total_tasks: i64,
    total_workers: i64,
    longest_wait: Option<LongestWait<'a>>,
    tasks_by_status: ByStatus,
    /// Pairs, ascending by priority.
    tasks_by_priority: Vec<(i32, i64)>,
    activities: Vec<Activity<'a>>,
}

#[derive(Serialize)]
struct LongestWait<'a> {
    task_sid: &'a str,
    since_ms: i64,
    age_ms: i64,
}

#[derive(Serialize)]
struct ByStatus {
    pending: i64,
    reserved: i64,
    assigned: i64,
    wrapping: i64,
    completed: i64,
    canceled: i64,
}

#[derive(Serialize)]
struct Activity<'a> {
    sid: &'a str,
    name: &'a str,
    workers: i64,
}

/// A state as an event.
fn event(realtime: v1::WorkspaceRealtimeStatistics) -> Encoded {
    let v1::WorkspaceRealtimeStatistics {
        account_sid: _,
        workspace_sid,
        url: _,
        activity_statistics,
        longest_task_waiting_age,
        longest_task_waiting_sid,
        tasks_by_priority,
        tasks_by_status,
        total_tasks,
        total_workers,
        longest_task_waiting_since,
        revision,
        as_of,
    } = &realtime;
    let longest_wait = longest_task_waiting_since.map(|since| LongestWait {
        task_sid: longest_task_waiting_sid,
        since_ms: moment_ms(Some(since)),
        age_ms: longest_task_waiting_age.map_or(0, |age| age.seconds * 1000 + i64::from(age.nanos) / 1_000_000),
    });
    let status = tasks_by_status.unwrap_or_default();
    let v1::TasksByStatus { pending, reserved, assigned, wrapping, completed, canceled } = status;
    let told = Realtime {
        workspace_sid,
        as_of_ms: moment_ms(*as_of),
        revision: *revision,
        total_tasks: *total_tasks,
        total_workers: *total_workers,
        longest_wait,
        tasks_by_status: ByStatus { pending, reserved, assigned, wrapping, completed, canceled },
        tasks_by_priority: tasks_by_priority.iter().map(|(priority, tasks)| (*priority, *tasks)).collect(),
        activities: activity_statistics.iter().map(activity).collect(),
    };
    let text =
        serde_json::to_string(&told).unwrap_or_else(|error| unreachable!("figures are written as JSON: {error}"));
    // JSON has no line breaks of its own, so one line of data is all of it.
    Encoded::of_text(format!("event: realtime\ndata: {text}\n\n").into_bytes())
}

fn activity(row: &v1::ActivityStatistics) -> Activity<'_> {
    let v1::ActivityStatistics { sid, friendly_name: name, workers } = row;
    Activity { sid, name, workers: *workers }
}

fn moment_ms(moment: Option<Timestamp>) -> i64 {
    moment.map_or(0, |moment| moment.seconds * 1000 + i64::from(moment.nanos) / 1_000_000)
}

/// Why there will be no more.
fn last(status: StatusCode, sentence: &str) -> Bytes {
    let problem = Problem::new(status, sentence);
    [b"event: error\ndata: ", &*problem.text(), b"\n\n"].concat().into()
}

struct Events {
    watch: Watch<Topic>,
    windows: Windows,
    /// Whether the page has figures that windows can stand beside.
    has_begun: bool,
    has_ended: bool,
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        // What changed comes first; it is never so often that nothing else would come.
        match self.watch.poll_message(cx) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(event))) => {
                self.has_begun = true;
                Poll::Ready(Some(Ok(event.into_bytes())))
            }
            Poll::Ready(Some(Err(end))) => {
                self.has_ended = true;
                let Problem { status, message, .. } = problem(end);
                Poll::Ready(Some(Ok(last(status, &message))))
            }
            Poll::Pending if self.has_begun => self.windows.poll_event(cx).map(|event| Some(Ok(event))),
            Poll::Pending => Poll::Pending,
        }
    }
}
