//! One connection, from its first byte to its last, and the bounds on all of them.
use super::{
    Settings,
    body::Timely,
    drain::{Leave, Leaving},
    frames::{Allowance, RESET_PRICE},
    fuse::Streams,
    guard::Guarded,
    lifetime::{Calls, Over, over},
    patient::Patient,
    peer::Peer,
    rarely::Rarely,
};
use crate::limits;
pub(super) use axum::body::Body as RequestBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{BoxError, Service, ServiceExt};

/// What one connection may take, and how many there may be. The defaults, each with its reason, are in
/// [`crate::limits`].
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// Connections at a time. Above it new ones wait in the kernel's queue, which is itself bounded, and come in as others
    /// leave. Closing them instead would make every client reconnect at once and again, at a handshake's cost each.
    pub max_connections: usize,
    /// Connections at a time of one peer ([`super::network`]). Above it new ones are closed: were they to wait, those of
    /// everybody else would wait behind them. A refusal in HTTP would need the handshake that is not to be paid for.
    pub max_connections_per_peer: usize,
    /// How long a peer may take to show whether it speaks HTTP/1 or HTTP/2, a TLS handshake included.
    pub preface_timeout: Duration,
    /// How long a peer may take not one byte of what is waiting for it. A client library always reads its socket, and
    /// holds a slow application back by HTTP/2's windows instead, so only a dead or hostile peer gets here.
    pub write_stall_timeout: Duration,
    /// How long HTTP/1 headers may take, and how long an HTTP/1 connection may idle between two requests.
    pub header_read_timeout: Duration,
    /// How long a request's body may take, but for those that last by their nature ([`Settings::lasting`]).
    pub body_timeout: Duration,
    /// Headers of one request as HTTP/2 counts them, 32 bytes a field above its text. Those of up to twice the size are
    /// answered with a reason, larger ones are not read.
    pub max_header_bytes: u32,
    /// An HTTP/2 peer that has been quiet for this long is sent a ping.
    pub keep_alive_interval: Duration,
    /// How long the ping's answer may take before the connection counts as dead.
    pub keep_alive_timeout: Duration,
    /// Without a call for this long, a connection is asked to finish; zero never does.
    pub max_idle: Duration,
    /// At this age, or up to a tenth before, a connection is asked to finish, and its drained streams are ended; zero
    /// never does.
    pub max_age: Duration,
    /// How much later what is left of it is cut.
    pub max_grace: Duration,
    /// Calls at a time on one HTTP/2 connection. Clients queue what is above it.
    pub max_concurrent_streams: u32,
    /// Streams that a client opened and reset before they were served, above which it is sent away.
    pub max_pending_accept_reset_streams: usize,
    /// Frames that ask for nothing (pings, settings, window updates, priorities, resets) at once and again in ten seconds,
    /// beside those that calls and answers pay for, above which a client is sent away.
    pub max_control_frames: u32,
    /// What a client may send on one connection before we have read it; on one call, half of it, so that one whose handler
    /// waits does not stop the others. Fixed rather than adapted to the line, since connections times this is what clients
    /// can make us hold.
    pub max_unread_bytes: u32,
    /// Beyond what the client's window takes, how much of one stream's answer is buffered before it is asked for more. A
    /// single message may be larger; it is then the only one.
    pub send_buffer_bytes: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max_connections: limits::CONNECTIONS,
            max_connections_per_peer: limits::CONNECTIONS_PER_PEER,
            preface_timeout: limits::HANDSHAKE_TIMEOUT,
            write_stall_timeout: limits::WRITE_STALL_TIMEOUT,
            header_read_timeout: limits::HEADER_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            max_header_bytes: limits::HEADER_BYTES,
            keep_alive_interval: limits::CONNECTION_KEEPALIVE_INTERVAL,
            keep_alive_timeout: limits::CONNECTION_KEEPALIVE_TIMEOUT,
            max_idle: limits::CONNECTION_IDLE,
            max_age: limits::CONNECTION_AGE,
            max_grace: limits::CONNECTION_GRACE,
            max_concurrent_streams: limits::STREAMS_PER_CONNECTION,
            max_pending_accept_reset_streams: limits::PENDING_RESETS,
            max_control_frames: limits::CONTROL_FRAMES,
            max_unread_bytes: limits::UNREAD_BYTES,
            send_buffer_bytes: limits::STREAM_SEND_BUFFER_BYTES,
        }
    }
}

impl Connections {
    /// Never less than it takes to cancel all calls of a connection at once.
    fn allowance(&self) -> Allowance {
        Allowance::of(self.max_control_frames.max(self.max_concurrent_streams.saturating_mul(RESET_PRICE + 1)))
    }

    fn builder(&self, streams: Streams) -> auto::Builder<Streams> {
        let mut builder = auto::Builder::new(streams);
        let read_header_bytes = self.max_header_bytes.saturating_mul(2);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_read_timeout)
            .max_buf_size(read_header_bytes as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(self.keep_alive_interval)
            .keep_alive_timeout(self.keep_alive_timeout)
            .max_concurrent_streams(self.max_concurrent_streams)
            .max_header_list_size(read_header_bytes)
            .max_pending_accept_reset_streams(self.max_pending_accept_reset_streams)
            .initial_stream_window_size(self.max_unread_bytes / 2)
            .initial_connection_window_size(self.max_unread_bytes)
            .max_send_buf_size(self.send_buffer_bytes);
        builder
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By its own doing, or after a graceful shutdown.
    Own,
    /// By force, in a shutdown.
    Cut,
}

/// The two steps of a shutdown: first ask connections to finish, then end them.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub graceful: CancellationToken,
    pub force: CancellationToken,
}

type Answering<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

/// Why a connection is asked to finish.
enum Due {
    Stop,
    Over(Over),
}

/// Completes once a connection is to finish.
async fn due(calls: &Calls, connections: &Connections, stop: &Stop) -> Due {
    tokio::select! {
        () = stop.graceful.cancelled() => Due::Stop,
        // Force without grace is asked for where the server itself is dropped.
        () = stop.force.cancelled() => Due::Stop,
        why = over(calls, connections.max_idle, connections.max_age) => Due::Over(why),
    }
}

/// Completes once a connection that was asked to finish is not waited for any longer.
async fn cut(peer: SocketAddr, grace: Option<Duration>, stop: &Stop, leaving: &Leaving) -> End {
    let out_of_grace = async {
        match grace {
            Some(grace) => tokio::time::sleep(grace).await,
            None => std::future::pending().await,
        }
    };
    // A stream that was begun while an idle connection was asked to finish.
    let stopping = async {
        stop.graceful.cancelled().await;
        leaving.begin(Leave::Stop);
        std::future::pending().await
    };
    tokio::select! {
        end = stopping => end,
        () = stop.force.cancelled() => End::Cut,
        () = out_of_grace => {
            tracing::info!(%peer, "a connection that was asked to finish did not, and is cut");
            End::Own
        }
    }
}

/// A request that says who sent it, on which connection, and whose body comes within the bound.
fn introduced(
    request: Request<Incoming>,
    bound: Option<Duration>,
    peer: Peer,
    leaving: Leaving,
) -> Request<RequestBody> {
    let mut request = request.map(|body| match bound {
        Some(bound) => RequestBody::new(Timely::new(body, bound)),
        None => RequestBody::new(body),
    });
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(leaving);
    request
}

/// Serves one connection until it ends: finishing the calls in flight once `stop.graceful` fires or it has lived or idled
/// for long enough, and dropping everything once `stop.force` fires or its grace is over.
pub(super) async fn run<T, S, B>(
    (io, peer): (T, Peer),
    service: S,
    settings: &Settings,
    tasks: TaskTracker,
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
    let Settings { connections, lasting, .. } = *settings;
    let io = TokioIo::new(Guarded::new(
        io,
        connections.preface_timeout,
        connections.write_stall_timeout,
        connections.allowance(),
    ));
    let address = peer.address;
    let leaving = Leaving::at(connections.max_age);
    let left = leaving.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let bound = (!lasting(request.uri().path())).then_some(connections.body_timeout);
        let request = introduced(request, bound, peer.clone(), left.clone());
        // A stream's task has room for the larger of the call and its answer for as long as it lasts: a watch would hold
        // that of its call, several times its own.
        let call: Answering<B, S::Error> = Box::pin(service.clone().oneshot(request));
        call
    });
    let calls = Calls::default();
    let builder = connections.builder(Streams::new(tasks, calls.clone()));
    let mut connection = pin!(builder.serve_connection(io, service));
    let is_due = Rarely::new(Box::pin(due(&calls, &connections, stop)));
    let ended = tokio::select! {
        biased;
        ended = Patient::new(connection.as_mut(), &calls) => ended,
        due = is_due => {
            let grace = match due {
                Due::Stop => {
                    leaving.begin(Leave::Stop);
                    None
                }
                Due::Over(why) => {
                    tracing::debug!(peer = %address, ?why, "a connection is asked to finish");
                    if why == Over::Age {
                        leaving.begin(Leave::Age);
                    }
                    Some(connections.max_grace)
                }
            };
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = Patient::new(connection, &calls) => ended,
                end = Rarely::new(Box::pin(cut(address, grace, stop, &leaving))) => return end,
            }
        }
    };
    if let Err(error) = ended {
        // Peers vanish all the time; it is news only to somebody who is looking for it.
        tracing::debug!(peer = %address, error, "a connection ended in an error");
    }
    End::Own
}
