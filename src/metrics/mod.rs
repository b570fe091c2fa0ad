//! What the server tells Prometheus: OpenMetrics, on a port of its own.
//!
//! The rooms count in plain atomics and know nothing of this one; here they are read, at each scrape, without a question
//! that ingest would have to answer. What a caller can name is never a label. Every name is explained in `docs/metrics.md`,
//! which a test holds against what is told.

mod calls;
mod process;
mod service;
mod sheet;
mod spans;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::api::seats::Seats;
use crate::letters::{Letters, Totals};
use crate::limits;
use crate::pipeline::{Pipeline, Scope};
use crate::server::Traffic;
use crate::{tls, trace};

/// The one path that is served.
pub const PATH: &str = "/metrics";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long the dead letters may take to be counted; their file may be busy, and a scrape is not worth its wait.
const LETTERS_WAIT: Duration = Duration::from_millis(500);

/// Where the figures come from. Each may be read at any time, also before the server has started.
#[derive(Clone)]
pub struct Sources {
    pub pipeline: Pipeline,
    pub seats: Arc<Seats>,
    pub letters: Letters,
    pub traffic: Arc<Traffic>,
    /// `None` without TLS.
    pub tls: Option<Arc<tls::Counters>>,
    /// `None` where no spans are exported.
    pub spans: Option<Arc<trace::export::Counters>>,
    /// `None` where nothing is kept on disk.
    pub data_dir: Option<PathBuf>,
    /// Cancelled when the server shuts down.
    pub stop: CancellationToken,
}

#[derive(Clone)]
struct Desk {
    sources: Sources,
    /// Scrapes at a time; others wait their turn.
    turns: Arc<Semaphore>,
}

/// The port for metrics: nothing but [`PATH`].
pub fn router(sources: Sources) -> Router {
    let desk = Desk { sources, turns: Arc::new(Semaphore::new(limits::SCRAPES)) };
    Router::new().route(PATH, get(scrape)).with_state(desk)
}

async fn scrape(State(desk): State<Desk>) -> Response {
    // Nobody closes it; should somebody, all go at once.
    let _turn = desk.turns.acquire().await.ok();
    let letters = tokio::time::timeout(LETTERS_WAIT, desk.sources.letters.totals(Scope::All)).await;
    let letters = letters.ok().and_then(Result::ok);
    // Sizes of files are asked for, and a disk may be slow.
    match spawn_blocking(move || text(&desk.sources, letters)).await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, OPEN_METRICS), (CACHE_CONTROL, "no-store")], text).into_response(),
        Ok(Err(_)) | Err(_) => {
            tracing::error!("the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn text(sources: &Sources, letters: Option<Totals>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(service::Service::read(sources, letters)));
    registry.register_collector(Box::new(calls::Calls::read(sources)));
    registry.register_collector(Box::new(spans::Spans::read(sources)));
    registry.register_collector(Box::new(process::ProcessFigures::read()));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
