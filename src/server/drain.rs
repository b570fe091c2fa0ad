//! Ends streams that last as long as their clients like, when the server shuts down or their connection is too old.
//!
//! The code of a health watch and of a reflection session knows nothing of either. The application's own streams end
//! themselves in a shutdown, since they know what to say last, and know nothing of connections.
use super::{
    entrance::is_reflection,
    fuse::{READ_GRACE, arm},
    refusal::{connection_too_old, is_grpc, shutting_down, trailers},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
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

/// Whether a connection is as old as it may be; an extension of each request that came on it.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    is_old: CancellationToken,
    max_age: Duration,
}

impl Leaving {
    pub fn at(max_age: Duration) -> Self {
        Self { is_old: CancellationToken::new(), max_age }
    }

    pub fn begin(&self) {
        self.is_old.cancel();
    }
}

/// Ends the responses to gRPC calls whose path is `drained` with UNAVAILABLE and RetryInfo once `shutdown` fires or their
/// connection is leaving: what is ready goes out first, then the status.
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
        let is_drained = is_grpc(&request) && (self.layer.drained)(request.uri().path());
        let end = is_drained.then(|| End {
            shutdown: self.layer.shutdown.clone(),
            leaving: request.extensions().get::<Leaving>().cloned(),
        });
        DrainFuture { inner: self.inner.call(request), end }
    }
}

/// What ends a stream.
#[derive(Clone)]
struct End {
    shutdown: CancellationToken,
    leaving: Option<Leaving>,
}

impl End {
    /// Completes once the stream is to end, with what its client is told.
    async fn reason(self) -> Status {
        let Some(leaving) = self.leaving else {
            self.shutdown.cancelled().await;
            return shutting_down();
        };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => shutting_down(),
            () = leaving.is_old.cancelled() => connection_too_old(leaving.max_age),
        }
    }
}

pin_project! {
    /// The call; its head is waited for as it comes, since only bodies last.
    pub struct DrainFuture<F> {
        #[pin]
        inner: F,
        end: Option<End>,
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
        let end = this.end.take();
        Poll::Ready(answer.map(|response| response.map(|body| DrainBody::new(body, end))))
    }
}

/// A body that an [`End`] ends; without an inner body it has ended.
pub struct DrainBody<B> {
    inner: Option<B>,
    end: Option<Ending>,
    frames_left: u32,
}

enum Ending {
    Awaited(Pin<Box<dyn Future<Output = Status> + Send>>),
    Begun(Status),
}

impl Ending {
    /// The status to end with, if it is time.
    fn poll(&mut self, cx: &mut Context<'_>) -> Option<&Status> {
        if let Self::Awaited(reason) = self
            && let Poll::Ready(status) = reason.as_mut().poll(cx)
        {
            *self = Self::Begun(status);
        }
        match self {
            Self::Awaited(_) => None,
            Self::Begun(status) => Some(status),
        }
    }
}

impl<B> DrainBody<B> {
    fn new(inner: B, end: Option<End>) -> Self {
        if let Some(end) = end.clone() {
            arm(async move {
                end.reason().await;
                tokio::time::sleep(READ_GRACE).await;
            });
        }
        let end = end.map(|end| Ending::Awaited(Box::pin(end.reason())));
        Self { inner: Some(inner), end, frames_left: LAST_FRAMES }
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
        let last = trailers(status);
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
