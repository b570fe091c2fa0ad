//! Calls and connections, by the names that gRPC's and HTTP's own libraries use for them.

use std::fmt::Error;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Sources;
use super::sheet::{In, Labels, Sheet, one};
use crate::server::{Rpc, Seen, callers_denied};

/// Status codes as gRPC's libraries write them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

const CLASSES: [&str; 6] = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Microseconds in a second.
const US: f64 = 1e6;

/// What was counted of the main port.
#[derive(Debug)]
pub struct Calls {
    rpcs: Vec<(Rpc, Seen)>,
    plain: Vec<(&'static str, &'static str, Seen)>,
    accepted: u64,
    closed: u64,
    refused: u64,
    denied: Vec<(&'static str, u64)>,
}

impl Calls {
    pub fn read(sources: &Sources) -> Calls {
        let traffic = &sources.traffic;
        Calls {
            rpcs: traffic.rpcs().map(|(rpc, seen)| (rpc.clone(), seen)).collect(),
            plain: traffic.plain().collect(),
            closed: traffic.closed.load(Ordering::Acquire),
            accepted: traffic.accepted.load(Ordering::Acquire),
            refused: traffic.refused.load(Ordering::Relaxed),
            denied: callers_denied().collect(),
        }
    }

    fn rpcs(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        let named: Vec<([(&str, &str); 3], &Seen)> = self
            .rpcs
            .iter()
            .map(|(Rpc { service, method, kind }, seen)| {
                ([("grpc_type", *kind), ("grpc_service", service.as_str()), ("grpc_method", method.as_str())], seen)
            })
            .collect();
        sheet.counters(
            ("grpc_server_started", In::Numbers, "gRPC calls that began."),
            named.iter().map(|(labels, seen)| (&labels[..], seen.begun as f64)),
        )?;
        let ends: Vec<([(&str, &str); 4], f64)> = named
            .iter()
            .flat_map(|(labels, seen)| {
                let [kind, service, method] = *labels;
                let code =
                    move |(code, count): (&'static str, &u64)| ([kind, service, method, ("grpc_code", code)], *count);
                CODES.into_iter().zip(&seen.ended).map(code)
            })
            // A code that never was is not worth a line, but for the one that rates are formed with.
            .filter(|(labels, count)| *count > 0 || labels[3].1 == "OK")
            .map(|(labels, count)| (labels, count as f64))
            .collect();
        sheet.counters(
            ("grpc_server_handled", In::Numbers, "gRPC calls that ended, by status, trailers included."),
            ends.iter().map(|(labels, count)| (&labels[..], *count)),
        )?;
        let timed = named.iter().filter(|(_, seen)| seen.took_us.number() > 0);
        sheet.histograms(
            ("grpc_server_handling", In::Seconds, "How long gRPC calls took, to their last byte."),
            US,
            timed.map(|(labels, seen)| (&labels[..], seen.took_us.clone())),
        )?;
        let streams = named.iter().filter(|(labels, _)| labels[0].1 != "unary" && labels[0].1 != "unknown");
        sheet.gauges(
            ("tasktally_streams_open", In::Numbers, "gRPC streams that are open."),
            streams.map(|(labels, seen)| (&labels[1..], seen.open() as f64)),
        )
    }

    fn plain(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        let named: Vec<([(&str, &str); 2], &Seen)> =
            self.plain.iter().map(|(route, verb, seen)| ([("route", *route), ("method", *verb)], seen)).collect();
        let ends: Vec<([(&str, &str); 3], f64)> = named
            .iter()
            .flat_map(|(labels, seen)| {
                let [route, method] = *labels;
                let code = move |(code, count): (&'static str, &u64)| ([route, method, ("code", code)], *count as f64);
                CLASSES.into_iter().zip(&seen.ended).map(code)
            })
            .filter(|(_, count)| *count > 0.0)
            .collect();
        sheet.counters(
            (
                "http_requests",
                In::Numbers,
                "Plain HTTP requests that ended, by template of the path and hundreds of the status.",
            ),
            ends.iter().map(|(labels, count)| (&labels[..], *count)),
        )?;
        sheet.histograms(
            ("http_request_duration", In::Seconds, "How long plain HTTP requests took, to their last byte."),
            US,
            named.iter().map(|(labels, seen)| (&labels[..], seen.took_us.clone())),
        )?;
        sheet.gauges(
            ("http_requests_in_flight", In::Numbers, "Plain HTTP requests that are under way, event streams included."),
            named.iter().map(|(labels, seen)| (&labels[..], seen.open() as f64)),
        )
    }
}

impl Collector for Calls {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut sheet = Sheet(encoder);
        self.rpcs(&mut sheet)?;
        self.plain(&mut sheet)?;
        let open = self.accepted.saturating_sub(self.closed) as f64;
        sheet.gauges(
            ("tasktally_connections_open", In::Numbers, "Connections to the main port that are open."),
            one(open),
        )?;
        sheet.counters(
            ("tasktally_connections_accepted", In::Numbers, "Connections to the main port that were taken."),
            one(self.accepted as f64),
        )?;
        sheet.counters(
            (
                "tasktally_connections_refused",
                In::Numbers,
                "Connections closed at once, since their peer had as many as it may.",
            ),
            one(self.refused as f64),
        )?;
        let denied: Vec<([(&str, &str); 1], u64)> =
            self.denied.iter().map(|(reason, calls)| ([("reason", *reason)], *calls)).collect();
        sheet.counters(
            ("tasktally_callers_denied", In::Numbers, "Calls whose caller was not let in."),
            denied.iter().map(|(labels, calls)| (&labels[..] as Labels<'_>, *calls as f64)),
        )
    }
}
