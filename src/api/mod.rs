//! The wire: the only room that knows tonic and prost.
//!
//! A call is decoded ([`decode`]), asked of the pipeline, and its answer encoded ([`encode`]); what goes wrong becomes
//! a status in one place ([`status`]). There is one file for each thing that callers do: [`statistics`], [`watch`],
//! [`listing`], [`ingest`], [`admin`] with its [`letters`] and [`standing`].

pub mod admin;
mod bell;
pub mod codec;
pub mod decode;
pub mod encode;
pub mod feed;
pub mod ingest;
pub mod inquiry;
pub mod intake;
mod letters;
pub mod listing;
pub mod proto;
pub mod refine;
pub mod reflection;
pub(crate) mod refusals;
pub mod seats;
pub mod source;
pub mod standing;
pub mod statistics;
pub mod status;
pub mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::Request;
use tonic::codec::CompressionEncoding;

use crate::letters::Letters;
use crate::limits;
use crate::pipeline::{Caller, CallerName, Pipeline, Role};
use encode::Links;
use intake::{Intake, Metered};
pub use letters::ReadRaw;
use proto::v1::admin_service_server::AdminServiceServer;
use proto::v1::ingest_service_server::IngestServiceServer;
use proto::v1::statistics_service_server::StatisticsServiceServer;
use refine::Refined;
pub use refusals::totals as rejections;
use seats::Seats;
use standing::Process;
use status::ApiError;

/// The one method of IngestService whose requests are a stream.
const STREAM_EVENTS: &str = "/tasktally.v1.IngestService/StreamEvents";

/// What calls may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiLimits {
    /// Events in one request.
    pub max_events: usize,
    /// One message, after decompression.
    pub max_message_bytes: usize,
    /// Requests of one ingest stream that are read and not yet answered.
    pub max_requests_in_flight: usize,
    /// Bytes of all ingest requests that are being read or not yet answered.
    pub max_ingest_bytes: usize,
    /// Watches, and those of the workspaces of one account.
    pub max_watchers: usize,
    pub max_watchers_per_account: usize,
    /// Rows of one page of a list.
    pub max_page_rows: usize,
}

impl Default for ApiLimits {
    fn default() -> Self {
        ApiLimits {
            max_events: limits::EVENTS_PER_CALL,
            max_message_bytes: limits::MESSAGE_BYTES,
            max_requests_in_flight: limits::STREAM_UNANSWERED_REQUESTS,
            max_ingest_bytes: limits::INGEST_BYTES,
            max_watchers: limits::WATCHERS,
            max_watchers_per_account: limits::WATCHERS_PER_ACCOUNT,
            max_page_rows: limits::PAGE_SIZE_MAX,
        }
    }
}

/// What every handler works with.
#[derive(Clone)]
pub struct Api {
    pub pipeline: Pipeline,
    pub links: Arc<Links>,
    pub limits: ApiLimits,
    /// Where what came in over HTTP and was refused is kept.
    pub letters: Letters,
    pub read_raw: ReadRaw,
    /// The places of all who watch, whichever way they came in.
    pub seats: Arc<Seats>,
    /// Room for requests that bring events, however they come.
    pub intake: Intake,
    /// What GetStatus tells of the process.
    pub process: Process,
    /// Cancelled when the server shuts down: streams end.
    pub stop: CancellationToken,
}

impl Api {
    pub fn statistics_service(&self) -> Refined<StatisticsServiceServer<statistics::Statistics>> {
        let service = StatisticsServiceServer::new(statistics::Statistics::new(self.clone()))
            .max_decoding_message_size(self.limits.max_message_bytes)
            .accept_compressed(CompressionEncoding::Gzip);
        Refined::new(service, self.limits.max_message_bytes)
    }

    pub fn admin_service(&self) -> Refined<AdminServiceServer<admin::Admin>> {
        let service = AdminServiceServer::new(admin::Admin::new(self.clone()))
            .max_decoding_message_size(self.limits.max_message_bytes)
            .accept_compressed(CompressionEncoding::Gzip);
        Refined::new(service, self.limits.max_message_bytes)
    }

    pub fn ingest_service(&self) -> Refined<Metered<IngestServiceServer<ingest::Ingest>>> {
        let service = IngestServiceServer::new(ingest::Ingest::new(self.clone()))
            .max_decoding_message_size(self.limits.max_message_bytes)
            .accept_compressed(CompressionEncoding::Gzip);
        let service = Metered::new(service, self.intake.clone(), STREAM_EVENTS);
        Refined::new(service, self.limits.max_message_bytes)
    }
}

/// On whose behalf a call is made: the one whom the transport let in. A call that came past the entrance is nobody's, and
/// nobody may do anything.
fn caller<T>(request: &Request<T>) -> Caller {
    request.extensions().get().copied().unwrap_or_else(Caller::nobody)
}

/// What the log calls the caller.
fn caller_name<T>(request: &Request<T>) -> Arc<str> {
    let name = request.extensions().get::<CallerName>();
    name.map_or_else(|| "somebody; nobody is asked for credentials".into(), |name| name.0.clone())
}

/// That the caller has the role that a call needs. Asked after the request is read, since a request that is none is told
/// so first.
pub(crate) fn permit(caller: &Caller, needed: Role) -> Result<(), ApiError> {
    if caller.may(needed) { Ok(()) } else { Err(ApiError::NotPermitted { needed }) }
}
