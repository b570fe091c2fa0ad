//! The transport over connections made of memory, in virtual time: a bound of 20 seconds costs a test nothing, and an
//! elapsed time can be compared exactly.
mod calls;
mod connections;
mod deadline;
mod health;
mod lifetime;
mod panic;
mod shutdown;

use super::{router as router_of, *};
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, Response, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{future::pending, io, net::SocketAddr, time::Duration};
use tokio::{
    io::{DuplexStream, duplex},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic_types::{ErrorInfo, StatusExt};

const BOUND: Duration = Duration::from_secs(20);

/// Accepts what a test connects.
struct Memory(mpsc::UnboundedReceiver<(DuplexStream, SocketAddr)>);

impl Accept for Memory {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        match self.0.recv().await {
            Some((stream, peer)) => Ok((stream, peer.into())),
            None => pending().await,
        }
    }
}

/// Of gRPC alone.
fn router(routes: Routes) -> Router {
    router_of(routes, Router::new(), wordless)
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 4711))
}

/// A running server and the means to reach and to stop it.
struct Server {
    connect: mpsc::UnboundedSender<(DuplexStream, SocketAddr)>,
    shutdown: CancellationToken,
    outcome: JoinHandle<Outcome>,
}

impl Server {
    fn new(router: Router) -> Self {
        Self::with(router, Settings::default())
    }

    fn bounded(router: Router, connections: Connections) -> Self {
        Self::with(router, Settings { connections, ..Settings::default() })
    }

    fn with(router: Router, settings: Settings) -> Self {
        let (connect, connected) = mpsc::unbounded_channel();
        let shutdown = CancellationToken::new();
        let outcome = tokio::spawn(serve(Memory(connected), router, settings, shutdown.clone(), BOUND));
        Self { connect, shutdown, outcome }
    }

    /// The client's end of a new connection, on which nothing is said yet.
    fn connect(&self) -> DuplexStream {
        self.connect_from(peer())
    }

    fn connect_from(&self, peer: SocketAddr) -> DuplexStream {
        let (client, server) = duplex(64 << 10);
        self.connect.send((server, peer)).unwrap();
        client
    }

    async fn client(&self) -> Client {
        self.client_with_window(1 << 20).await
    }

    /// An HTTP/2 client that takes `window` bytes of each answer before it reads.
    async fn client_with_window(&self, window: u32) -> Client {
        let (requests, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(window)
            .handshake(TokioIo::new(self.connect()))
            .await
            .unwrap();
        Client { requests, connection: tokio::spawn(async move { connection.await.unwrap_or_default() }) }
    }

    /// Shuts down; returns how it went and how long it took.
    async fn stop(self) -> (Outcome, Duration) {
        let begun = Instant::now();
        self.shutdown.cancel();
        (self.outcome.await.unwrap(), begun.elapsed())
    }
}

struct Client {
    requests: SendRequest<Body>,
    connection: JoinHandle<()>,
}

impl Client {
    /// Sends a gRPC request with an empty body; returns once the head of the answer is there.
    async fn call(&mut self, timeout: Option<&str>) -> hyper::Result<Response<hyper::body::Incoming>> {
        self.send(grpc("/test.Test/Call", timeout, Body::empty())).await
    }

    async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<hyper::body::Incoming>> {
        self.requests.ready().await?;
        self.requests.send_request(request).await
    }

    async fn get(&mut self, path: &str) -> hyper::Result<Response<hyper::body::Incoming>> {
        self.send(Request::get(format!("http://test{path}")).body(Body::empty()).unwrap()).await
    }
}

fn grpc(path: &str, timeout: Option<&str>, body: Body) -> Request<Body> {
    let request = Request::post(format!("http://test{path}")).header(CONTENT_TYPE, "application/grpc");
    match timeout {
        Some(timeout) => request.header("grpc-timeout", timeout),
        None => request,
    }
    .body(body)
    .unwrap()
}

/// Everything that a response said.
#[derive(Debug)]
struct Answer {
    head: HeaderMap,
    data: Vec<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Answer {
    /// The status: of the trailers, or, in a trailers-only response, of the head.
    fn status(&self) -> Status {
        let said = self.trailers.as_ref().unwrap_or(&self.head);
        Status::from_header_map(said).unwrap_or_else(|| panic!("no status in {self:?}"))
    }

    fn reason(&self) -> String {
        let ErrorInfo { reason, domain, .. } = self.status().get_details_error_info().unwrap();
        assert_eq!(domain, "tasktally");
        reason
    }

    fn is_trailers_only(&self) -> bool {
        self.trailers.is_none() && self.data.is_empty() && self.head.contains_key("grpc-status")
    }
}

async fn read<B>(response: Response<B>) -> Result<Answer, B::Error>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (head, mut body) = response.into_parts();
    let mut answer = Answer { head: head.headers, data: Vec::new(), trailers: None };
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => answer.data.push(data),
            Err(frame) => answer.trailers = frame.into_trailers().ok(),
        }
    }
    Ok(answer)
}

/// A router whose one gRPC method answers what `handler` does.
fn answering<F, A>(handler: F) -> Router
where
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let handler = any(move |request: Request<Body>| handler(request));
    router(Routes::default()).route("/test.Test/Call", handler.clone()).route("/plain", handler)
}

/// A gRPC response made of these frames as they come.
fn streaming(frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> Response<Body> {
    let body = StreamBody::new(frames.map(Ok::<_, std::convert::Infallible>));
    Response::builder().header(CONTENT_TYPE, "application/grpc").body(Body::new(body)).unwrap()
}

fn data(bytes: &'static [u8]) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(bytes))
}

fn ok() -> Frame<Bytes> {
    refusal::trailers(&Status::ok(""))
}

/// A unary answer: one message and OK.
fn unary() -> Response<Body> {
    streaming(tokio_stream::iter([data(b"answer"), ok()]))
}

/// Something that a handler holds, and whose end a test can wait for.
struct Held {
    _alive: oneshot::Sender<()>,
}

fn held() -> (Held, impl Future<Output = ()>) {
    let (alive, gone) = oneshot::channel();
    (Held { _alive: alive }, async move {
        // Pings keep virtual time moving for ever; a test must not wait as long.
        timeout(Duration::from_secs(3600), gone).await.expect("still held").expect_err("nothing is ever sent");
    })
}

/// Hands what it holds to the first call that takes it.
fn once<T>(value: T) -> Arc<std::sync::Mutex<Option<T>>> {
    Arc::new(std::sync::Mutex::new(Some(value)))
}

/// A router whose calls never answer; the first one holds what ends with the returned future. The receiver tells of each
/// call that begins.
fn hanging() -> (Router, mpsc::UnboundedReceiver<()>, impl Future<Output = ()>) {
    let (begin, begun) = mpsc::unbounded_channel();
    let (held, gone) = held();
    let held = once(held);
    let router = answering(move |request| {
        let (begin, held) = (begin.clone(), held.lock().unwrap().take());
        async move {
            // The request is kept, as by a handler that still reads it.
            let _kept = (request, held);
            // Not every test wants to know.
            let _ = begin.send(());
            pending().await
        }
    });
    (router, begun, gone)
}

/// A router whose calls answer with messages of 16 KiB without end; the first one holds what ends with the future.
fn endless() -> (Router, impl Future<Output = ()>) {
    let (held, gone) = held();
    let held = once(held);
    let router = answering(move |_| {
        let held = held.lock().unwrap().take();
        async move {
            streaming(tokio_stream::iter(std::iter::repeat_with(move || {
                let _held = &held;
                data(&[0; 16 << 10])
            })))
        }
    });
    (router, gone)
}
