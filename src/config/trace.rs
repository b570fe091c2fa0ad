//! The settings of traces.

use std::path::PathBuf;

use clap::Args;
use http::Uri;
use http::uri::Authority;

/// Where spans go, and which.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "Traces")]
pub struct TraceSettings {
    /// Send spans of calls to the OpenTelemetry collector there, OTLP over gRPC, such as http://localhost:4317, or https://
    /// [default: none are made]
    #[arg(long, env = "TASKTALLY_TRACE_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub trace_endpoint: Option<String>,

    /// The authorities of the collector's certificate, PEM; with https:// [default: the public ones]
    #[arg(long, env = "TASKTALLY_TRACE_CA", value_name = "FILE", requires = "trace_endpoint")]
    pub trace_ca: Option<PathBuf>,

    /// Share of the calls without a trace of their own that begin one, 0 to 1. Where a caller sends `traceparent`, its
    /// sampled flag decides.
    #[arg(long, env = "TASKTALLY_TRACE_SAMPLE", value_name = "RATIO", default_value = "1", value_parser = ratio)]
    pub trace_sample: f64,
}

fn endpoint(text: &str) -> Result<String, String> {
    let is_collector = |uri: &Uri| {
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        let bare = uri.path_and_query().is_none_or(|path| path == "/");
        // A port that is none is read as if there were none, and then another one would be taken.
        let named = |authority: &Authority| authority.port_u16().is_some() && !authority.as_str().contains('@');
        web && bare && uri.authority().is_some_and(named)
    };
    match text.parse() {
        Ok(uri) if is_collector(&uri) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("must be http:// or https://, a host and a port, such as http://localhost:4317".to_owned()),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let within = |ratio: &f64| (0.0..=1.0).contains(ratio);
    text.parse().ok().filter(within).ok_or_else(|| "must be a number from 0 to 1".to_owned())
}
