//! Logs: to standard error, so that standard output is the answers' own; for people by default, as JSON by flag.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogConfig, LogFormat};

/// Sends every log line of the process to standard error.
///
/// # Errors
/// A subscriber has been set already.
pub fn init(config: &LogConfig) -> Result<(), TryInitError> {
    let builder = fmt()
        // The library would complain with `eprintln!`, which panics: whoever read standard error may have gone.
        .log_internal_errors(false)
        .with_env_filter(filter(config))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match config.format {
        LogFormat::Human => builder.with_target(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).finish().try_init(),
    }
}

/// The level as it was given, checked before; libraries below us stay at `warn` unless they are named.
fn filter(config: &LogConfig) -> EnvFilter {
    let bare_level = config.level.parse::<tracing::Level>().is_ok();
    if bare_level { EnvFilter::new(format!("warn,tasktally={}", config.level)) } else { EnvFilter::new(&config.level) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_ours_and_directives_stand_as_given() {
        let config = |level: &str| LogConfig { format: LogFormat::Human, level: level.to_owned() };
        assert_eq!(filter(&config("debug")).to_string(), "tasktally=debug,warn");
        assert_eq!(filter(&config("tasktally::cli=trace,h2=debug")).to_string(), "tasktally::cli=trace,h2=debug");
    }
}
