//! Traces: whether spans are made, and that the last ones arrive.

use std::time::Duration;

use tokio::task::spawn_blocking;

use super::ServeError;
use crate::config::ServeConfig;
use crate::trace::Traces;
use crate::trace::export::{Export, Settings};

/// What calls are traced by, and what exports it, where that is wished for.
///
/// # Errors
/// What is wrong with the settings.
pub fn begin(config: &ServeConfig) -> Result<(Traces, Option<Export>), ServeError> {
    let Some(endpoint) = config.trace.trace_endpoint.clone() else { return Ok((Traces::default(), None)) };
    let sample = config.trace.trace_sample;
    tracing::info!(%endpoint, sample, "spans of calls go to a collector");
    let export = Export::begin(&Settings { endpoint, sample }).map_err(ServeError::Traces)?;
    Ok((export.traces(), Some(export)))
}

/// Sends what is left; a collector that is gone takes no more than half of the time that is left.
pub async fn close(export: Option<Export>, left: Duration) {
    let Some(export) = export else { return };
    // Whatever becomes of spans, the server stops.
    let _ = spawn_blocking(move || export.close(left / 2)).await;
}
