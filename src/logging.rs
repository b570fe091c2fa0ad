//! Logs: to standard error, so that standard output is the answers' own; for people by default, as JSON by flag. A line
//! about a call that belongs to a trace says which.

use std::fmt::Result as Formatted;
use std::io::{self, IsTerminal};

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, fmt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogConfig, LogFormat};
use crate::trace;

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
        LogFormat::Human => {
            let with_ids = |inner| WithIds { inner, format: LogFormat::Human };
            builder.with_target(false).map_event_format(with_ids).finish().try_init()
        }
        LogFormat::Json => {
            let with_ids = |inner| WithIds { inner, format: LogFormat::Json };
            let builder = builder.json().flatten_event(true).with_current_span(false);
            builder.map_event_format(with_ids).finish().try_init()
        }
    }
}

/// Lines of another form, with the ids of the trace that the thread's current call belongs to.
struct WithIds<F> {
    inner: F,
    format: LogFormat,
}

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> Formatted {
        let Some(call) = trace::current() else { return self.inner.format_event(context, writer, event) };
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let (line, mark) = (line.trim_end(), call.mark());
        let (trace, span) = (mark.trace_id(), mark.span_id());
        match (self.format, line.strip_suffix('}')) {
            (LogFormat::Json, Some(fields)) => {
                writeln!(writer, r#"{fields},"trace_id":"{trace}","span_id":"{span}"}}"#)
            }
            (LogFormat::Json | LogFormat::Human, _) => writeln!(writer, "{line} trace_id={trace} span_id={span}"),
        }
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
