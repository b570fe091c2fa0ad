//! From a checked configuration to a running server and back to an exit code.

use std::process::ExitCode;

use crate::config::ServeConfig;

/// Why the server did not run, or stopped running other than by request.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("this build holds the client commands only: the server is not wired yet")]
    NotWired,
}

/// Serves until it is told to stop.
///
/// # Errors
/// The server could not start, or could not go on.
pub fn serve(config: ServeConfig) -> Result<ExitCode, ServeError> {
    tracing::debug!(?config, "asked to serve");
    Err(ServeError::NotWired)
}
