//! Ends the streams of library services when the server shuts down.
//!
//! A health watch and a reflection session last as long as their clients like, and their code knows nothing of our
//! shutdown. The application's own streams end themselves, since they know what to say last.
use super::{
    fuse::{READ_GRACE, arm},
    refusal::{is_grpc, shutting_down, trailers},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::{BoxError, Layer, Service};

/// How many more data frames a stream may deliver once the server is shutting down. One is needed, for a health watch to
/// say NOT_SERVING; a stream that always has another must still end.
const LAST_FRAMES: u32 = 16;

/// Whether a path names a stream of a library service, which lasts until its client ends it: health's Watch and both
/// versions of reflection.
pub fn is_library_stream(path: &str) -> bool {
    path == "/grpc.health.v1.Health/Watch"
        || path.starts_with("/grpc.reflection.v1.ServerReflection/")
        || path.starts_with("/grpc.reflection.v1alpha.ServerReflection/")
}

/// Ends the responses to gRPC calls whose path is `drained` with UNAVAILABLE and RetryInfo once `shutdown` fires: what is
/// ready goes out first, then the status.
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
        let shutdown = is_drained.then(|| self.layer.shutdown.clone());
        DrainFuture { inner: self.inner.call(request), shutdown }
    }
}

pin_project! {
    /// The call; its head is waited for as it comes, since only bodies last.
    pub struct DrainFuture<F> {
        #[pin]
        inner: F,
        shutdown: Option<CancellationToken>,
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
        let shutdown = this.shutdown.take();
        Poll::Ready(answer.map(|response| response.map(|body| DrainBody::new(body, shutdown))))
    }
}

/// A body that a shutdown ends; without an inner body it has ended.
pub struct DrainBody<B> {
    inner: Option<B>,
    shutdown: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    has_begun: bool,
    frames_left: u32,
}

impl<B> DrainBody<B> {
    fn new(inner: B, shutdown: Option<CancellationToken>) -> Self {
        if let Some(shutdown) = shutdown.clone() {
            arm(async move {
                shutdown.cancelled().await;
                tokio::time::sleep(READ_GRACE).await;
            });
        }
        let shutdown = shutdown.map(|shutdown| Box::pin(shutdown.cancelled_owned()));
        Self { inner: Some(inner), shutdown, has_begun: false, frames_left: LAST_FRAMES }
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
        let Some(shutdown) = &mut this.shutdown else { return polled };
        this.has_begun = this.has_begun || shutdown.as_mut().poll(cx).is_ready();
        let ends_here = this.has_begun
            && match &polled {
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
        this.inner = None;
        this.shutdown = None;
        Poll::Ready(Some(Ok(trailers(&shutting_down()))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.shutdown) {
            (None, _) => SizeHint::with_exact(0),
            (Some(inner), None) => inner.size_hint(),
            // It may be cut, so no length may be promised.
            (Some(_), Some(_)) => SizeHint::new(),
        }
    }
}
