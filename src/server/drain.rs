//! Ends streams that last as long as their clients like, when the server shuts down or their connection is too old.
//!
//! The code of a health watch and of a reflection session knows nothing of either. The application's own streams end
//! themselves in a shutdown, since they know what to say last, and know nothing of connections.
use super::{
    entrance::is_reflection,
    fuse::{READ_GRACE, arm, is_fused},
    plain::LastWords,
    rarely::Rarely,
    refusal::{connection_too_old, is_grpc, shutting_down, trailers},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::{BoxError, Layer, Service};

/// How many more data frames a stream may deliver once the server is shutting down. One is needed, for a health watch to
/// say NOT_SERVING; a stream that always has another must still end.
const LAST_FRAMES: u32 = 16;

/// Whether a path names a stream of a library service, which lasts until its client ends it: health's Watch and both
/// versions of reflection.
pub fn is_library_stream(path: &str) -> bool {
    path == "/grpc.health.v1.Health/Watch" || is_reflection(path)
}

/// Whether a connection is asked to finish; an extension of each request that came on it.
#[derive(Clone, Debug)]
pub(super) struct Leaving(Arc<Age>);

/// Why a connection is asked to finish, as far as its streams are to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Stop,
    Age,
}

#[derive(Debug)]
struct Age {
    why: OnceLock<Leave>,
    is_over: CancellationToken,
    most: Duration,
}

impl Leaving {
    pub fn at(max_age: Duration) -> Self {
        Self(Arc::new(Age { why: OnceLock::new(), is_over: CancellationToken::new(), most: max_age }))
    }

    pub fn begin(&self, why: Leave) {
        // The first reason is the one that streams hear.
        let _ = self.0.why.set(why);
        self.0.is_over.cancel();
    }

    async fn reason(&self) -> Status {
        self.0.is_over.cancelled().await;
        match self.0.why.get() {
            Some(Leave::Age) => connection_too_old(self.0.most),
            Some(Leave::Stop) | None => shutting_down(),
        }
    }
}

/// Ends the responses to calls whose path is `drained` once `shutdown` fires or their connection is leaving, gRPC's with
/// UNAVAILABLE and RetryInfo, and those over HTTP that have [`LastWords`] with these: what is ready goes out first, then
/// the status.
#[derive(Clone, Debug)]
pub struct DrainLayer {
    shutdown: CancellationToken,
    drained: fn(&str) -> bool,
}

impl DrainLayer {
    pub fn new(shutdown: CancellationToken, drained: fn(&str) -> bool) -> Self {
        Self { shutdown, drained }
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drained<S>;

    fn layer(&self, inner: S) -> Drained<S> {
        Drained { inner, layer: self.clone() }
    }
}

#[derive(Clone, Debug)]
pub struct Drained<S> {
    inner: S,
    layer: DrainLayer,
}

impl<S, R, B> Service<Request<R>> for Drained<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = Response<DrainBody<B>>;
    type Error = S::Error;
    type Future = DrainFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let grpc = is_grpc(&request);
        let end = (self.layer.drained)(request.uri().path()).then(|| {
            let leaving = request.extensions().get::<Leaving>().cloned();
            leaving.map_or_else(|| End::Server(self.layer.shutdown.clone()), End::Connection)
        });
        DrainFuture { inner: self.inner.call(request), end, grpc }
    }
}

/// What ends a stream: its connection's end, and without one the server's.
enum End {
    Connection(Leaving),
    Server(CancellationToken),
}

impl End {
    /// Completes once the stream is to end, with what its client is told.
    async fn reason(self) -> Status {
        match self {
            Self::Connection(leaving) => leaving.reason().await,
            Self::Server(shutdown) => {
                shutdown.cancelled().await;
                shutting_down()
            }
        }
    }
}

pin_project! {
    /// The call; its head is waited for as it comes, since only bodies last.
    pub struct DrainFuture<F> {
        #[pin]
        inner: F,
        end: Option<End>,
        grpc: bool,
    }
}

impl<F, B, E> Future for DrainFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<DrainBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        let (end, grpc) = (this.end.take(), *this.grpc);
        Poll::Ready(answer.map(|response| {
            let words = response.extensions().get().copied();
            let end = end.filter(|_| grpc || words.is_some());
            response.map(|body| DrainBody::new(body, end, words))
        }))
    }
}

/// A body that an [`End`] ends; without an inner body it has ended.
pub struct DrainBody<B> {
    inner: Option<B>,
    end: Option<Ending>,
    /// Of plain HTTP; gRPC's end is a status.
    words: Option<LastWords>,
    frames_left: u32,
}

enum Ending {
    /// What the stream's fuse says, which waits for both of them.
    Told(Arc<OnceLock<Status>>),
    /// There is no fuse.
    Awaited(Rarely<dyn Future<Output = Status> + Send>),
    Begun(Status),
}

impl Ending {
    fn of(end: End) -> Self {
        if !is_fused() {
            return Self::Awaited(Rarely::new(Box::pin(end.reason())));
        }
        let told = Arc::new(OnceLock::new());
        let tell = told.clone();
        arm(async move {
            let _ = tell.set(end.reason().await);
            // The body is asked again and finds it; then it may take some time to be read.
            tokio::task::yield_now().await;
            Box::pin(tokio::time::sleep(READ_GRACE)).await;
        });
        Self::Told(told)
    }

    /// The status to end with, if it is time.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<&Status> {
        if let Self::Awaited(reason) = self
            && let Poll::Ready(status) = Pin::new(reason).poll(cx)
        {
            *self = Self::Begun(status);
        }
        match self {
            Self::Told(status) => status.get(),
            Self::Awaited(_) => None,
            Self::Begun(status) => Some(status),
        }
    }
}

impl<B> DrainBody<B> {
    fn new(inner: B, end: Option<End>, words: Option<LastWords>) -> Self {
        Self { inner: Some(inner), end: end.map(Ending::of), words, frames_left: LAST_FRAMES }
    }
}

impl<B> Body for DrainBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx).map_err(Into::into);
        let Some(status) = this.end.as_mut().and_then(|end| end.poll(cx)) else { return polled };
        let ends_here = match &polled {
            Poll::Pending => true,
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                let was_left = this.frames_left;
                this.frames_left = was_left.saturating_sub(1);
                was_left == 0
            }
            Poll::Ready(_) => false,
        };
        if !ends_here {
            return polled;
        }
        let last = match this.words {
            None => trailers(status),
            Some(LastWords(words)) => Frame::data(words(StatusCode::SERVICE_UNAVAILABLE, status.message())),
        };
        this.inner = None;
        this.end = None;
        Poll::Ready(Some(Ok(last)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.end) {
            (None, _) => SizeHint::with_exact(0),
            (Some(inner), None) => inner.size_hint(),
            // It may be cut, so no length may be promised.
            (Some(_), Some(_)) => SizeHint::new(),
        }
    }
}
