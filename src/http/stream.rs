//! `RealTimeStatistics/Stream`: WatchRealtime as server-sent events, for people who have only HTTP.
//!
//! The same watchers, feeds and places as over gRPC, in another form: a state is written once for all who watch it, a slow
//! reader skips states, and each event is complete. Where the server ends a stream it says why in a last event, `error`,
//! whose data is the problem that a new call would meet.

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
use tokio_stream::Stream;

use super::call::Call;
use super::figures::Sheet;
use super::problem::{Problem, problem};
use crate::api::Api;
use crate::api::codec::Encoded;
use crate::api::decode;
use crate::api::feed::Hub;
use crate::api::proto::v1;
use crate::api::status::ApiError;
use crate::api::watch::{self, Watch};
use crate::pipeline::Topic;
use crate::server::LastWords;

/// What streams are made from.
#[derive(Clone)]
pub struct Desk {
    api: Api,
    hub: Arc<Hub<Topic>>,
}

impl Desk {
    pub fn new(api: &Api) -> Desk {
        Desk { api: api.clone(), hub: Arc::new(Hub::new(api.links.clone(), event, api.stop.clone())) }
    }
}

pub async fn open(State(desk): State<Desk>, call: Call) -> Response {
    match begin(&desk, &call).await {
        Ok(watch) => {
            let mut response = Response::new(Body::from_stream(Events { watch, has_ended: false }));
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

async fn begin(desk: &Desk, call: &Call) -> Result<Watch<Topic>, Problem> {
    let mut parameters = call.parameters();
    let request = v1::WatchRealtimeRequest {
        workspace_sid: call.workspace_sid.clone(),
        task_channel: parameters.word("TaskChannel"),
        min_interval: parameters.length("MinInterval"),
        heartbeat_interval: parameters.length("HeartbeatInterval"),
    };
    let request = parameters.checked(decode::watch_realtime(request).map_err(ApiError::BadFields))?;
    watch::begin(&desk.api, &desk.hub, &call.caller, request).await.map_err(problem)
}

/// A state as an event. Its id is the revision; whoever comes back with it needs no more than the first event.
fn event(realtime: v1::WorkspaceRealtimeStatistics) -> Encoded {
    let head = format!("id: {}\nevent: realtime\ndata: ", realtime.revision);
    // JSON has no line breaks of its own, so one line of data is all of it.
    Encoded::of_text([head.as_bytes(), &Sheet::realtime(&realtime).into_text(), b"\n\n"].concat())
}

/// Why there will be no more.
fn last(status: StatusCode, sentence: &str) -> Bytes {
    let problem = Problem::new(status, sentence);
    [b"event: error\ndata: ", &*problem.text(), b"\n\n"].concat().into()
}

struct Events {
    watch: Watch<Topic>,
    has_ended: bool,
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        self.watch.poll_message(cx).map(|message| match message? {
            Ok(event) => Some(Ok(event.into_bytes())),
            Err(end) => {
                self.has_ended = true;
                let Problem { status, message, .. } = problem(end);
                Some(Ok(last(status, &message)))
            }
        })
    }
}
