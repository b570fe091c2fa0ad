//! Spans on their way to a collector: sampled, gathered in a bounded queue, sent in batches by a thread of its own, over
//! OTLP. Whoever ends a span never waits: where the queue is full the span is dropped, and counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, InstrumentationScope, Key, KeyValue};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor,
};

use super::call::Traces;
use crate::limits;

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector: http:// or https://, a host and a port.
    pub endpoint: String,
    /// The authorities of its certificate, as PEM; the public ones without.
    pub authorities: Option<String>,
    /// The share of the calls that begin no trace themselves.
    pub sample: f64,
}

/// What became of spans, since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// A collector has taken them.
    pub exported: AtomicU64,
    /// The queue was full.
    pub dropped: AtomicU64,
    /// The collector could not be reached, or did not take them.
    pub failed: AtomicU64,
    /// Waiting, or being sent.
    queued: AtomicUsize,
}

impl Counters {
    fn lost(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed)
    }
}

/// Exports spans, until it is closed.
#[derive(Debug)]
pub struct Export {
    provider: SdkTracerProvider,
    traces: Traces,
    counters: Arc<Counters>,
}

impl Export {
    /// Begins; within a runtime, which the connection lives in. Nothing is connected to before there is something to send.
    ///
    /// # Errors
    /// What is wrong with the settings, or with the OTEL_EXPORTER_OTLP_* variables.
    pub fn begin(settings: &Settings) -> Result<Export, String> {
        let mut builder = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(settings.endpoint.clone())
            .with_timeout(limits::TRACE_EXPORT_TIMEOUT);
        if settings.endpoint.starts_with("https:") {
            let tls = ClientTlsConfig::new();
            builder = builder.with_tls_config(match &settings.authorities {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls.with_webpki_roots(),
            });
        }
        let exporter = builder.build().map_err(|error| error.to_string())?;
        let (provider, counters) = provider(exporter, &settings.endpoint, settings.sample);
        let scope = InstrumentationScope::builder("tasktally").with_version(env!("CARGO_PKG_VERSION")).build();
        let traces = Traces::to(provider.tracer_with_scope(scope));
        Ok(Export { provider, traces, counters })
    }

    pub fn traces(&self) -> Traces {
        self.traces.clone()
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Sends what is left, for at most so long. Blocks.
    pub fn close(self, at_most: Duration) {
        let left = self.counters.queued.load(Ordering::Relaxed);
        if self.provider.shutdown_with_timeout(at_most).is_err() {
            tracing::warn!(spans = left, "not all spans were sent before the end");
        }
    }
}

/// Samples, and hands on to the exporter in batches.
fn provider(
    exporter: impl opentelemetry_sdk::trace::SpanExporter + 'static,
    endpoint: &str,
    sample: f64,
) -> (SdkTracerProvider, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    let batches = BatchConfigBuilder::default()
        // Never full, since `Bounded` lets no more in.
        .with_max_queue_size(limits::TRACE_QUEUE_SPANS)
        .with_max_export_batch_size(limits::TRACE_BATCH_SPANS)
        .with_scheduled_delay(limits::TRACE_EXPORT_INTERVAL)
        .build();
    let said = Said { endpoint: endpoint.to_owned(), last: Mutex::default() };
    let counted = Counted { exporter, counters: counters.clone(), said };
    let inner = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample))))
        .with_span_processor(Bounded { inner, counters: counters.clone() })
        .with_resource(resource())
        .build();
    (provider, counters)
}

/// What is told of this process with every batch. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
fn resource() -> Resource {
    let found = Resource::builder().build();
    let is_given = |name: &'static str| {
        found.get(&Key::from_static_str(name)).is_some_and(|value| !value.as_str().starts_with("unknown_service"))
    };
    let instance = || format!("{:032x}", rand::random::<u128>());
    let ours = [
        ("service.name", "tasktally".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", instance()),
    ];
    let ours = ours.into_iter().filter(|(name, _)| !is_given(name)).map(|(name, value)| KeyValue::new(name, value));
    Resource::builder().with_attributes(ours).build()
}

/// Lets as many spans into the queue as it has room for, and drops the others.
#[derive(Debug)]
struct Bounded<P> {
    inner: P,
    counters: Arc<Counters>,
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, within: &Context) {
        self.inner.on_start(span, within);
    }

    fn on_end(&self, span: SpanData) {
        let most = limits::TRACE_QUEUE_SPANS;
        let Counters { queued, dropped, .. } = &*self.counters;
        let take = |waiting: usize| (waiting < most).then_some(waiting + 1);
        if queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            self.inner.on_end(span);
        } else {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, at_most: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(at_most)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what becomes of batches, and says now and then that they do not arrive.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    counters: Arc<Counters>,
    said: Said,
}

impl<E: opentelemetry_sdk::trace::SpanExporter> opentelemetry_sdk::trace::SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.exporter.export(batch).await;
        let Counters { exported, failed, queued, .. } = &*self.counters;
        let counter = if outcome.is_ok() { exported } else { failed };
        counter.fetch_add(spans as u64, Ordering::Relaxed);
        queued.fetch_sub(spans, Ordering::Relaxed);
        self.said.look(&self.counters, outcome.as_ref().err());
        outcome
    }

    fn shutdown_with_timeout(&self, at_most: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(at_most)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// What was last said about spans that are lost, which is said at most once in a while.
#[derive(Debug)]
struct Said {
    endpoint: String,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    said: Option<Instant>,
    /// How many were lost by then.
    lost: u64,
    /// Since then none has arrived.
    is_away: bool,
}

impl Said {
    fn look(&self, counters: &Counters, error: Option<&OTelSdkError>) {
        let (lost, endpoint) = (counters.lost(), &self.endpoint);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_away && error.is_none() {
            last.is_away = false;
            tracing::info!(%endpoint, lost_since = lost - last.lost, "spans reach the collector again");
        }
        let due = last.said.is_none_or(|said| said.elapsed() >= limits::TRACE_SAY_EVERY);
        if due && lost > last.lost {
            let (lost_now, error_now) = (lost - last.lost, error.map(tracing::field::display));
            tracing::warn!(
                lost = lost_now,
                %endpoint,
                error = error_now,
                "spans do not reach the collector; calls go on as before. It must take OTLP over gRPC there, mostly port 4317"
            );
            *last = Last { said: Some(Instant::now()), lost, is_away: error.is_some() };
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span as _, Tracer as _};

    use super::*;

    /// A collector that takes nothing before it is let.
    #[derive(Debug)]
    struct Waiting(Mutex<crossbeam_channel::Receiver<()>>);

    impl opentelemetry_sdk::trace::SpanExporter for Waiting {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            let _ = self.0.lock().unwrap().recv();
            Ok(())
        }
    }

    #[test]
    fn the_queue_is_bounded_and_what_has_no_room_is_counted() {
        let (let_it, waiting) = crossbeam_channel::bounded(0);
        let (provider, counters) = provider(Waiting(Mutex::new(waiting)), "http://nowhere:4317", 1.0);
        let tracer = provider.tracer("test");
        let end_one = || tracer.start("one").end();
        (0..limits::TRACE_QUEUE_SPANS + 10).for_each(|_| end_one());
        assert_eq!(counters.dropped.load(Ordering::Relaxed), 10);
        drop(let_it);
        provider.force_flush().unwrap();
        assert_eq!(counters.exported.load(Ordering::Relaxed), limits::TRACE_QUEUE_SPANS as u64);
        end_one();
        provider.force_flush().unwrap();
        assert_eq!((counters.lost(), counters.queued.load(Ordering::Relaxed)), (10, 0), "there is room again");
        provider.shutdown().unwrap();
    }
}
