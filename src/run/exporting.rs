//! Traces: whether spans are made, and that the last ones arrive.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::ServeError;
use crate::config::ServeConfig;
use crate::limits;
use crate::trace::Traces;
use crate::trace::export::{Export, Settings};

/// What calls are traced by, and what exports it, where that is wished for.
///
/// # Errors
/// What is wrong with the settings.
pub fn begin(config: &ServeConfig) -> Result<(Traces, Option<Export>), ServeError> {
    let Some(endpoint) = config.trace.trace_endpoint.clone() else { return Ok((Traces::default(), None)) };
    let sample = config.trace.trace_sample;
    if config.trace.trace_ca.is_some() && !endpoint.starts_with("https:") {
        return Err(ServeError::TracesInPlain(endpoint));
    }
    let authorities = config.trace.trace_ca.as_deref().map(authorities).transpose();
    let authorities = authorities.map_err(ServeError::Traces)?;
    tracing::info!(%endpoint, sample, "spans of calls go to a collector");
    let export = Export::begin(&Settings { endpoint, authorities, sample }).map_err(ServeError::Traces)?;
    Ok((export.traces(), Some(export)))
}

fn authorities(file: &Path) -> Result<String, String> {
    let pem = File::open(file).and_then(|open| {
        let mut pem = String::new();
        open.take(limits::TLS_FILE_BYTES).read_to_string(&mut pem)?;
        Ok(pem)
    });
    let pem = pem.map_err(|error| format!("cannot read {} (--trace-ca): {error}", file.display()))?;
    if pem.contains("BEGIN CERTIFICATE") {
        Ok(pem)
    } else {
        Err(format!("{} (--trace-ca) holds no certificate: no BEGIN CERTIFICATE in it", file.display()))
    }
}

/// Sends what is left. A collector that answers nothing is waited for as long as for any batch, and no longer than half of
/// the time that is left.
pub async fn close(export: Option<Export>, left: Duration) {
    let Some(export) = export else { return };
    // Whatever becomes of spans, the server stops.
    let _ = spawn_blocking(move || export.close(limits::TRACE_EXPORT_TIMEOUT.min(left / 2))).await;
}
