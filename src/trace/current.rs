//! The call that a thread works for at the moment, and the parts of it that are measured.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime};

use opentelemetry::trace::{Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use crate::limits;

/// A span, as others point at it.
pub type Mark = SpanContext;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Current>>> = const { RefCell::new(None) };
}

/// A call whose caller has named a trace, or that is itself traced.
#[derive(Debug)]
pub struct Current {
    mark: Mark,
    traced: Option<Traced>,
}

/// A call whose spans are exported.
#[derive(Debug)]
pub(super) struct Traced {
    pub tracer: SdkTracer,
    /// When it began, by both clocks: the times of its parts are told by the one that only grows.
    pub begun: Instant,
    pub begun_at: SystemTime,
    /// Messages that brought events, so far.
    pub messages: AtomicU32,
}

/// A part of a call that was measured.
pub(super) struct Part<'p> {
    pub name: &'static str,
    pub parent: &'p Mark,
    pub begun: Instant,
    pub ended: Instant,
    pub numbers: &'p [(&'static str, i64)],
    pub links: &'p [Mark],
    pub error: Option<&'p str>,
}

impl Current {
    pub(super) fn new(mark: Mark, traced: Option<Traced>) -> Arc<Current> {
        Arc::new(Current { mark, traced })
    }

    /// The call's own span, or what the caller named where it has none.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Makes this the thread's current call, until what this answers is dropped.
    pub fn enter(self: &Arc<Current>) -> Entered {
        let before = CURRENT.try_with(|current| current.replace(Some(self.clone()))).ok().flatten();
        Entered { before }
    }

    /// Whether the next message of the call has parts that are told.
    pub(super) fn tells_more(&self) -> bool {
        let told = |traced: &Traced| traced.messages.load(Ordering::Relaxed) < limits::TRACED_MESSAGES;
        self.traced.as_ref().is_some_and(told)
    }

    pub(super) fn count_message(&self) {
        if let Some(traced) = &self.traced {
            traced.messages.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells of a part that has ended.
    pub(super) fn tell(&self, part: &Part<'_>) -> Option<Mark> {
        let Traced { tracer, begun, begun_at, .. } = self.traced.as_ref()?;
        let at = |moment: Instant| *begun_at + moment.saturating_duration_since(*begun);
        let numbers = part.numbers.iter().map(|(name, value)| KeyValue::new(*name, *value)).collect();
        let links = part.links.iter().map(|mark| Link::new(mark.clone(), Vec::new(), 0)).collect();
        let builder = tracer
            .span_builder(part.name)
            .with_kind(SpanKind::Internal)
            .with_start_time(at(part.begun))
            .with_attributes::<Vec<KeyValue>>(numbers)
            .with_links(links);
        let within = Context::new().with_remote_span_context(part.parent.clone());
        let mut span = tracer.build_with_context(builder, &within);
        if let Some(error) = part.error {
            span.set_status(Status::error(error.to_owned()));
        }
        let mark = span.span_context().clone();
        span.end_with_timestamp(at(part.ended));
        Some(mark)
    }
}

/// While this lives, a call is its thread's current one; then the one before is.
#[must_use]
pub struct Entered {
    before: Option<Arc<Current>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        // Gone with the thread, where there is none.
        let _ = CURRENT.try_with(|current| current.replace(before));
    }
}

/// The call that this thread works for; `None` where it has no trace.
pub fn current() -> Option<Arc<Current>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The same, where its parts are to be told.
pub(super) fn told() -> Option<Arc<Current>> {
    let tells = |current: &RefCell<Option<Arc<Current>>>| {
        current.borrow().as_ref().filter(|current| current.tells_more()).cloned()
    };
    CURRENT.try_with(tells).ok().flatten()
}

/// Begins to measure a part of the current call; costs next to nothing where nobody wants to know.
pub fn time(name: &'static str) -> Timing {
    Timing(told().map(|call| (call, name, Instant::now())))
}

/// A part that is being measured. When it is dropped before it is done, it has failed.
#[must_use]
pub struct Timing(Option<(Arc<Current>, &'static str, Instant)>);

impl Timing {
    /// It has ended well, with these figures.
    pub fn done(mut self, numbers: &[(&'static str, i64)]) {
        self.end(numbers, None);
    }

    fn end(&mut self, numbers: &[(&'static str, i64)], error: Option<&str>) {
        if let Some((call, name, begun)) = self.0.take() {
            let ended = Instant::now();
            call.tell(&Part { name, parent: call.mark(), begun, ended, numbers, links: &[], error });
        }
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        self.end(&[], Some("not completed"));
    }
}
