//! The span of a call, from its head to the last byte of its answer.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use http::HeaderMap;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, time};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::current::{Current, Entered, Traced};
use super::parent;
use crate::limits;

/// What a call's span is called, and what it says from the start.
pub struct Subject {
    pub name: String,
    pub texts: Vec<(&'static str, String)>,
    /// Whether each message of the answer is worth an event.
    pub is_stream: bool,
}

/// Begins the traces of the calls of a port. By default there is nowhere to export spans to, and none are made.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    tracer: Option<SdkTracer>,
}

/// A call under way that belongs to a trace.
#[derive(Debug)]
pub struct Call {
    current: Arc<Current>,
    /// `None` where only the ids are wanted, for the log.
    span: Option<Span>,
    is_stream: bool,
    messages: u32,
}

impl Traces {
    pub(super) fn to(tracer: SdkTracer) -> Traces {
        Traces { tracer: Some(tracer) }
    }

    /// A call with these headers begins; `None` where it belongs to no trace. `may_begin`: whether it may begin one
    /// itself, where its caller has named none.
    pub fn begin(&self, headers: &HeaderMap, may_begin: bool, subject: impl FnOnce() -> Subject) -> Option<Call> {
        let parent = parent::of(headers);
        let wanted = parent.as_ref().map_or(may_begin, |parent| parent.is_sampled());
        let Some(tracer) = self.tracer.as_ref().filter(|_| wanted) else {
            let current = Current::new(parent?, None);
            return Some(Call { current, span: None, is_stream: false, messages: 0 });
        };
        let within = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let (begun, begun_at) = (Instant::now(), time::now());
        let Subject { name, texts, is_stream } = subject();
        let texts = texts.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect();
        let builder = tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_start_time(begun_at)
            .with_attributes::<Vec<KeyValue>>(texts);
        let span = tracer.build_with_context(builder, &within);
        let mark = span.span_context().clone();
        if !mark.is_sampled() {
            return None;
        }
        let traced = Traced { tracer: tracer.clone(), begun, begun_at, messages: AtomicU32::new(0) };
        let current = Current::new(mark, Some(traced));
        Some(Call { current, span: Some(span), is_stream, messages: 0 })
    }
}

impl Call {
    /// Makes it the thread's current call.
    pub fn enter(&self) -> Entered {
        self.current.enter()
    }

    /// So many messages of the answer go out. Only the first ones of a stream are events of their own, since it may last
    /// for days.
    pub fn sent(&mut self, messages: u32, bytes: usize) {
        let Some(span) = self.span.as_mut() else { return };
        for _ in 0..messages {
            self.messages = self.messages.saturating_add(1);
            if self.is_stream && self.messages <= limits::TRACED_MESSAGES {
                let id = KeyValue::new("rpc.message.id", i64::from(self.messages));
                let bytes = KeyValue::new("tasktally.bytes", i64::try_from(bytes).unwrap_or(i64::MAX));
                span.add_event("rpc.message", vec![KeyValue::new("rpc.message.type", "SENT"), id, bytes]);
            }
        }
    }

    /// It has ended: with this number under this name, which is an error or none.
    pub fn end(&mut self, name: &'static str, code: i64, error: Option<String>) {
        let Some(mut span) = self.span.take() else { return };
        span.set_attribute(KeyValue::new(name, code));
        if self.is_stream {
            span.set_attribute(KeyValue::new("tasktally.messages_sent", i64::from(self.messages)));
        }
        if let Some(error) = error {
            span.set_attribute(KeyValue::new("error.type", error));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}
