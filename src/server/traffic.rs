//! What goes over the ports: calls by what they ask for and how they ended, and connections.
//!
//! The outermost layer, so that every answer is counted, whoever gives it. What a caller can name is looked up in a fixed
//! list, and what is not in it shares one place: no caller makes it grow. A call ends with the last byte of its answer, or
//! when its caller goes.
mod open;

use super::refusal::is_grpc;
use crate::measure::{Counts, DURATIONS_US, Spread};
use crate::trace::Traces;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use open::Open;
use pin_project_lite::pin_project;
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};
use tower::{Layer, Service};

/// Ends of a gRPC call: its status code.
const CODES: usize = 17;
const CANCELLED: u8 = 1;
const UNKNOWN: u8 = 2;
const INTERNAL: u8 = 13;

/// Ends of a plain request: the hundreds of its status, or 0 where its caller went before there was one.
const CLASSES: usize = 6;

/// The methods of HTTP that are told apart; the last stands for all others.
pub const VERBS: [&str; 7] = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "other"];

/// The templates that stand for what matches none, and for gRPC's paths asked by another content type.
const UNMATCHED: &str = "unmatched";
const NOT_GRPC: &str = "grpc";

/// A gRPC method that is counted for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rpc {
    pub service: String,
    pub method: String,
    /// unary, client_stream, server_stream or bidi_stream.
    pub kind: &'static str,
}

/// The plain routes: the template of a path, which is one of the list.
#[derive(Clone, Debug)]
pub struct Templates {
    pub all: Vec<&'static str>,
    pub of: fn(&str) -> Option<&'static str>,
}

/// What is counted of one kind of call.
#[derive(Debug)]
struct Kind {
    begun: AtomicU64,
    ended: Box<[AtomicU64]>,
    took_us: Spread,
}

/// What was counted of one kind of call until now.
#[derive(Clone, Debug)]
pub struct Seen {
    pub begun: u64,
    /// By status code, or by hundreds of the status.
    pub ended: Vec<u64>,
    pub took_us: Counts,
}

/// Everything that is counted of one port.
#[derive(Debug)]
pub struct Traffic {
    /// The last stands for all methods that are not known.
    rpcs: Vec<(Rpc, Kind)>,
    by_path: HashMap<String, usize>,
    templates: Templates,
    /// One for each template, the two besides, and each verb.
    plain: Vec<Kind>,
    pub accepted: AtomicU64,
    pub closed: AtomicU64,
    /// Closed at once, since their peers had as many as they may.
    pub refused: AtomicU64,
    traces: Traces,
}

impl Default for Traffic {
    fn default() -> Self {
        Self::new(Vec::new(), Templates { all: Vec::new(), of: |_| None })
    }
}

impl Kind {
    fn new(ends: usize) -> Self {
        let ended = (0..ends).map(|_| AtomicU64::new(0)).collect();
        Self { begun: AtomicU64::new(0), ended, took_us: Spread::new(DURATIONS_US) }
    }

    fn read(&self) -> Seen {
        // The ends first: what ends in between has begun before.
        let ended = self.ended.iter().map(|end| end.load(Ordering::Acquire)).collect();
        Seen { begun: self.begun.load(Ordering::Acquire), ended, took_us: self.took_us.read() }
    }
}

impl Seen {
    /// Calls that are under way.
    pub fn open(&self) -> u64 {
        self.begun.saturating_sub(self.ended.iter().sum())
    }
}

impl Traffic {
    pub fn new(mut rpcs: Vec<Rpc>, templates: Templates) -> Self {
        let path = |rpc: &Rpc| format!("/{}/{}", rpc.service, rpc.method);
        let by_path = rpcs.iter().map(path).zip(0..).collect();
        rpcs.push(Rpc { service: "unknown".into(), method: "unknown".into(), kind: "unknown" });
        let rpcs = rpcs.into_iter().map(|rpc| (rpc, Kind::new(CODES))).collect();
        let plain = (0..(templates.all.len() + 2) * VERBS.len()).map(|_| Kind::new(CLASSES)).collect();
        let [accepted, closed, refused] = [const { AtomicU64::new(0) }; 3];
        Self { rpcs, by_path, templates, plain, accepted, closed, refused, traces: Traces::default() }
    }

    /// The calls are traced, too.
    pub fn with_traces(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Each gRPC method, and what was counted of it.
    pub fn rpcs(&self) -> impl Iterator<Item = (&Rpc, Seen)> {
        self.rpcs.iter().map(|(rpc, kind)| (rpc, kind.read()))
    }

    /// Each template and verb that was asked for, and what was counted of it.
    pub fn plain(&self) -> impl Iterator<Item = (&'static str, &'static str, Seen)> {
        let templates = self.templates.all.iter().copied().chain([UNMATCHED, NOT_GRPC]);
        let places = templates.flat_map(|template| VERBS.map(|verb| (template, verb)));
        let seen = places.zip(&self.plain).map(|((template, verb), kind)| (template, verb, kind.read()));
        seen.filter(|(_, _, seen)| seen.begun > 0)
    }

    fn place<R>(&self, request: &Request<R>) -> Place {
        let path = request.uri().path();
        let rpc = self.by_path.get(path).copied();
        if is_grpc(request) {
            return Place::Rpc(rpc.unwrap_or(self.rpcs.len() - 1));
        }
        let besides = self.templates.all.len();
        let template = match (rpc, (self.templates.of)(path)) {
            (Some(_), _) => besides + 1,
            (None, found) => {
                found.and_then(|found| self.templates.all.iter().position(|one| *one == found)).unwrap_or(besides)
            }
        };
        Place::Plain(template * VERBS.len() + verb(request.method()))
    }

    /// The template that a place of [`Place::Plain`] stands for, where there is one, and its verb.
    fn route(&self, at: usize) -> (Option<&'static str>, &'static str) {
        (self.templates.all.get(at / VERBS.len()).copied(), VERBS[at % VERBS.len()])
    }

    fn kind(&self, place: Place) -> &Kind {
        match place {
            Place::Rpc(at) => &self.rpcs[at].1,
            Place::Plain(at) => &self.plain[at],
        }
    }
}

fn verb(method: &Method) -> usize {
    VERBS.iter().position(|verb| *verb == method.as_str()).unwrap_or(VERBS.len() - 1)
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Rpc(usize),
    Plain(usize),
}

/// A connection that is open, until it is dropped.
#[derive(Debug)]
pub(super) struct Connected(Arc<Traffic>);

impl Connected {
    pub fn on(traffic: &Arc<Traffic>) -> Self {
        traffic.accepted.fetch_add(1, Ordering::Relaxed);
        Self(traffic.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts every call that goes through it.
#[derive(Clone, Debug)]
pub struct TrafficLayer(pub Arc<Traffic>);

impl<S> Layer<S> for TrafficLayer {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, traffic: self.0.clone() }
    }
}

#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    traffic: Arc<Traffic>,
}

impl<S, R, B> Service<Request<R>> for Counted<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = CountedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let open = Open::of(&self.traffic, &request);
        let _entered = open.enter();
        CountedFuture { inner: self.inner.call(request), open: Some(open) }
    }
}

pin_project! {
    pub struct CountedFuture<F> {
        #[pin]
        inner: F,
        open: Option<Open>,
    }
}

impl<F, B, E> Future for CountedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CountedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = this.open.as_ref().and_then(Open::enter);
        let answer = ready!(this.inner.poll(cx));
        drop(entered);
        let mut open = this.open.take();
        match &answer {
            Ok(response) => {
                open.take_if(|open| open.hear_head(response));
            }
            Err(_) => open.iter_mut().for_each(|open| open.hear_end(true)),
        }
        Poll::Ready(answer.map(|response| response.map(|inner| CountedBody { inner, open })))
    }
}

pin_project! {
    /// A body that is listened to for the status at its end.
    pub struct CountedBody<B> {
        #[pin]
        inner: B,
        open: Option<Open>,
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let entered = this.open.as_ref().and_then(Open::enter);
        let polled = ready!(this.inner.poll_frame(cx));
        drop(entered);
        if let Some(open) = this.open.as_mut() {
            let is_over = match &polled {
                Some(Ok(frame)) => open.hear_frame(frame),
                Some(Err(_)) => {
                    open.hear_end(true);
                    true
                }
                None => {
                    open.hear_end(false);
                    true
                }
            };
            if is_over {
                *this.open = None;
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
