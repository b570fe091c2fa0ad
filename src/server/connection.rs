//! One connection, from its first byte to its last, and the bounds on all of them.
use super::{fuse::Streams, guard::Guarded, peer::Peer};
use axum::body::Body as RequestBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{pin::pin, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{BoxError, Service, ServiceExt};

/// What one connection may take, and how many there may be. The defaults are for watchers by the thousand and producers
/// by the dozen; each says why it is what it is.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// Connections at a time; 10,000. Above it new ones wait in the kernel's queue, which is itself bounded, and come in as
    /// others leave. Closing them instead would make every client reconnect at once and again, at a handshake's cost each.
    pub max_connections: usize,
    /// How long a peer may take to show whether it speaks HTTP/1 or HTTP/2, a TLS handshake included; 10 s, enough for a
    /// handshake that lost packets twice. A silent connection ends here.
    pub preface_timeout: Duration,
    /// How long a peer may take not one byte of what is waiting for it; 60 s. A client library always reads its socket,
    /// and holds a slow application back by HTTP/2's windows instead, so only a dead or hostile peer gets here.
    pub write_stall_timeout: Duration,
    /// How long HTTP/1 headers may take, and how long an HTTP/1 connection may idle between two requests; 10 s.
    pub header_read_timeout: Duration,
    /// How much HTTP/1 buffers for headers; 64 KiB. hyper insists on at least 8 KiB.
    pub http1_buffer_bytes: usize,
    /// An HTTP/2 peer that has been quiet for this long is sent a ping; 20 s, below the minute after which many load
    /// balancers and address translators forget a quiet connection.
    pub keep_alive_interval: Duration,
    /// How long the ping's answer may take before the connection counts as dead; 20 s.
    pub keep_alive_timeout: Duration,
    /// Calls at a time on one HTTP/2 connection; 2,000: a dashboard's proxy may hold a thousand watches on one, and ask
    /// beside them. Clients queue what is above it.
    pub max_concurrent_streams: u32,
    /// Headers of one request as HTTP/2 counts them, 32 bytes a field above its text; 16 KiB. Tokens fit, floods do not.
    pub max_header_list_bytes: u32,
    /// Streams that a client opened and reset before they were served, above which it is sent away: 200. Rapid resets cost
    /// the client nothing and us a stream each; a client that cancels a burst of calls stays below.
    pub max_pending_accept_reset_streams: usize,
    /// What a client may send on one call before we have read it; 1 MiB: several batches of a thousand events.
    pub stream_window_bytes: u32,
    /// The same on one connection; 2 MiB, so that one call whose handler waits does not stop the others. Windows are fixed
    /// rather than adapted to the line, since connections times this is what clients can make us hold.
    pub connection_window_bytes: u32,
    /// Beyond what the client's window takes, how much of one stream's answer is buffered before it is asked for more;
    /// 4 KiB, a handful of watch messages, so that a slow watcher skips states in the application rather than queueing
    /// them here. A single message may be larger; it is then the only one.
    pub send_buffer_bytes: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            preface_timeout: Duration::from_secs(10),
            write_stall_timeout: Duration::from_secs(60),
            header_read_timeout: Duration::from_secs(10),
            http1_buffer_bytes: 64 << 10,
            keep_alive_interval: Duration::from_secs(20),
            keep_alive_timeout: Duration::from_secs(20),
            max_concurrent_streams: 2_000,
            max_header_list_bytes: 16 << 10,
            max_pending_accept_reset_streams: 200,
            stream_window_bytes: 1 << 20,
            connection_window_bytes: 2 << 20,
            send_buffer_bytes: 4 << 10,
        }
    }
}

impl Connections {
    pub(super) fn builder(&self, tasks: TaskTracker) -> auto::Builder<Streams> {
        let mut builder = auto::Builder::new(Streams::new(tasks));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_read_timeout)
            .max_buf_size(self.http1_buffer_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.keep_alive_interval)
            .keep_alive_timeout(self.keep_alive_timeout)
            .max_concurrent_streams(self.max_concurrent_streams)
            .max_header_list_size(self.max_header_list_bytes)
            .max_pending_accept_reset_streams(self.max_pending_accept_reset_streams)
            .initial_stream_window_size(self.stream_window_bytes)
            .initial_connection_window_size(self.connection_window_bytes)
            .max_send_buf_size(self.send_buffer_bytes);
        builder
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By its own doing, or after a graceful shutdown.
    Own,
    /// By force.
    Cut,
}

/// The two steps of a shutdown: first ask connections to finish, then end them.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub graceful: CancellationToken,
    pub force: CancellationToken,
}

/// Serves one connection until it ends, finishing the calls in flight once `stop.graceful` fires and dropping everything
/// once `stop.force` does.
pub(super) async fn run<T, S, B>(
    (io, peer): (T, Peer),
    service: S,
    builder: &auto::Builder<Streams>,
    settings: &Connections,
    stop: &Stop,
) -> End
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let io = TokioIo::new(Guarded::new(io, settings.preface_timeout, settings.write_stall_timeout));
    let address = peer.address;
    let service = TowerToHyperService::new(service.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(RequestBody::new);
        request.extensions_mut().insert(peer.clone());
        request
    }));
    let mut connection = pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.graceful.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = stop.force.cancelled() => return End::Cut,
            }
        }
        () = stop.force.cancelled() => return End::Cut,
    };
    if let Err(error) = ended {
        // Peers vanish all the time; it is news only to somebody who is looking for it.
        tracing::debug!(peer = %address, error, "a connection ended in an error");
    }
    End::Own
}
