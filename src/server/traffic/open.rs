//! A call under way: how it ends is heard from what goes past.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;

use super::super::entrance::is_health;
use super::{CANCELLED, CLASSES, CODES, INTERNAL, Place, Traffic, UNKNOWN};
use crate::trace::{Call, Entered, Subject};

/// Bytes of a path that its span tells.
const PATH_BYTES: usize = 256;

/// The codes that are the server's fault, or look like it.
const FAULTS: [u8; 6] = [2, 4, 12, 13, 14, 15];

/// The length of the frame around a message of gRPC: whether it is compressed, and how long it is.
const HEADER_BYTES: usize = 5;

/// A call under way. It has ended when it is dropped, in the way that was noted last.
#[derive(Debug)]
pub(super) struct Open {
    traffic: Arc<Traffic>,
    place: Place,
    begun: Instant,
    end: u8,
    /// Of plain HTTP, whole; 0 before there is one.
    status: u16,
    /// `None` where the call belongs to no trace, as most do: this goes through every layer with the answer, so it is small.
    trace: Option<Box<Call>>,
}

impl Open {
    pub fn of<R>(traffic: &Arc<Traffic>, request: &Request<R>) -> Self {
        let place = traffic.place(request);
        traffic.kind(place).begun.fetch_add(1, Ordering::Release);
        let end = if matches!(place, Place::Rpc(_)) { CANCELLED } else { 0 };
        // A probe every few seconds is no trace of its own.
        let may_begin = !is_health(request.uri().path());
        let trace =
            traffic.traces.begin(request.headers(), may_begin, || traffic.subject(place, request)).map(Box::new);
        Self { traffic: traffic.clone(), place, begun: Instant::now(), end, status: 0, trace }
    }

    /// Makes this the thread's current call, where it belongs to a trace.
    pub fn enter(&self) -> Option<Entered> {
        self.trace.as_deref().map(Call::enter)
    }

    /// Answers whether there is nothing more to hear of it.
    pub fn hear_head<B>(&mut self, response: &Response<B>) -> bool {
        match self.place {
            Place::Plain(_) => {
                self.end = class(response.status());
                self.status = response.status().as_u16();
                false
            }
            Place::Rpc(_) => {
                // Where it is no answer of gRPC at all, its client makes up a status.
                if response.status() != StatusCode::OK {
                    self.end = UNKNOWN;
                }
                self.hear_status(response.headers())
            }
        }
    }

    fn hear_status(&mut self, headers: &HeaderMap) -> bool {
        let Some(status) = headers.get("grpc-status") else { return false };
        let code = status.to_str().ok().and_then(|code| code.parse().ok());
        self.end = code.filter(|code| usize::from(*code) < CODES).unwrap_or(UNKNOWN);
        true
    }

    pub fn hear_frame(&mut self, frame: &Frame<Bytes>) -> bool {
        if let (Some(trace), Place::Rpc(_), Some(data)) = (&mut self.trace, self.place, frame.data_ref()) {
            trace.sent(messages(data), data.len());
        }
        match (self.place, frame.trailers_ref()) {
            (Place::Rpc(_), Some(trailers)) => self.hear_status(trailers),
            (Place::Rpc(_) | Place::Plain(_), _) => false,
        }
    }

    /// The body ended without a status, or broke off.
    pub fn hear_end(&mut self, has_failed: bool) {
        if matches!(self.place, Place::Rpc(_)) {
            self.end = if has_failed { INTERNAL } else { UNKNOWN };
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let kind = self.traffic.kind(self.place);
        kind.took_us.note(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        kind.ended[usize::from(self.end)].fetch_add(1, Ordering::Release);
        let Some(mut trace) = self.trace.take() else { return };
        match self.place {
            Place::Rpc(_) => {
                let error = FAULTS.contains(&self.end).then(|| self.end.to_string());
                trace.end("rpc.grpc.status_code", self.end.into(), error);
            }
            Place::Plain(_) => {
                let error = (self.status >= 500).then(|| self.status.to_string());
                trace.end("http.response.status_code", self.status.into(), error);
            }
        }
    }
}

impl Traffic {
    /// What the span of such a call says, by the semantic conventions. What a caller can make up is not in its name.
    fn subject<R>(&self, place: Place, request: &Request<R>) -> Subject {
        match place {
            Place::Rpc(at) => {
                let rpc = &self.rpcs[at].0;
                let texts = vec![
                    ("rpc.system", "grpc".to_owned()),
                    ("rpc.service", rpc.service.clone()),
                    ("rpc.method", rpc.method.clone()),
                ];
                let is_stream = matches!(rpc.kind, "server_stream" | "bidi_stream");
                Subject { name: format!("{}/{}", rpc.service, rpc.method), texts, is_stream }
            }
            Place::Plain(at) => {
                let (route, verb) = self.route(at);
                let (path, given) = (request.uri().path(), request.method());
                let path = path.get(..PATH_BYTES.min(path.len())).unwrap_or_default().to_owned();
                let mut texts = vec![("http.request.method", method(given)), ("url.path", path)];
                texts.extend(route.map(|route| ("http.route", route.to_owned())));
                let name = route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}"));
                Subject { name, texts, is_stream: false }
            }
        }
    }
}

/// As the conventions have it: what is not known is _OTHER.
fn method(method: &Method) -> String {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS, Method::PUT, Method::DELETE];
    if known.contains(method) { method.to_string() } else { "_OTHER".to_owned() }
}

/// How many messages of gRPC these are, which are whole.
fn messages(mut data: &[u8]) -> u32 {
    let mut messages = 0;
    while let Some((header, rest)) = data.split_at_checked(HEADER_BYTES) {
        let bytes = header[1..].iter().fold(0, |bytes, byte| bytes << 8 | usize::from(*byte));
        messages += 1;
        data = rest.get(bytes..).unwrap_or_default();
    }
    messages
}

fn class(status: StatusCode) -> u8 {
    u8::try_from(status.as_u16() / 100).ok().filter(|class| usize::from(*class) < CLASSES).unwrap_or(0)
}
