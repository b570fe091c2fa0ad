//! A panic in a handler becomes an answer.
//!
//! Without this layer hyper drops the stream's task and the client sees a reset, which it cannot tell from a broken
//! network and will retry into the same bug.
use super::{
    plain::{Tongue, Wording},
    refusal::{internal, is_grpc, trailers, trailers_only},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower::{BoxError, Layer, Service};

/// Catches panics of everything inside it: in the call, in its future, in its body. gRPC callers get INTERNAL, others 500;
/// a plain HTTP body already begun is broken off, since nothing else can tell the client that it is not whole.
#[derive(Clone, Copy, Debug)]
pub struct PanicLayer {
    wording: Wording,
}

impl PanicLayer {
    /// What plain HTTP is told, too.
    pub fn new(wording: Wording) -> Self {
        Self { wording }
    }
}

impl<S> Layer<S> for PanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> CatchPanic<S> {
        CatchPanic { inner, wording: self.wording }
    }
}

#[derive(Clone, Debug)]
pub struct CatchPanic<S> {
    inner: S,
    wording: Wording,
}

impl<S, R, B> Service<Request<R>> for CatchPanic<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = Response<PanicBody<B>>;
    type Error = S::Error;
    type Future = PanicFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let grpc = is_grpc(&request);
        let tongue = Tongue::of(&request, self.wording);
        let inner = caught(|| self.inner.call(request));
        PanicFuture { inner, grpc, tongue }
    }
}

pin_project! {
    /// The guarded call; without an inner future it panicked before there was one.
    pub struct PanicFuture<F> {
        #[pin]
        inner: Option<F>,
        grpc: bool,
        tongue: Tongue,
    }
}

impl<F, B, E> Future for PanicFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<PanicBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (grpc, tongue) = (*this.grpc, *this.tongue);
        let polled = this.inner.as_mut().as_pin_mut().and_then(|inner| caught(|| inner.poll(cx)));
        Poll::Ready(match polled {
            Some(polled) => {
                ready!(polled).map(|response| response.map(|body| PanicBody { inner: Some(body), words: None, grpc }))
            }
            None => {
                // What a panic left behind may panic again when dropped.
                caught(|| this.inner.set(None));
                Ok(answer(grpc, tongue))
            }
        })
    }
}

fn answer<B>(grpc: bool, tongue: Tongue) -> Response<PanicBody<B>> {
    if grpc {
        return trailers_only(internal(), PanicBody { inner: None, words: None, grpc });
    }
    let sentence = "an internal error; the server's log has the cause";
    let body = |words| PanicBody { inner: None, words: Some(words), grpc };
    tongue.answer(StatusCode::INTERNAL_SERVER_ERROR, sentence, body)
}

/// A body whose panic ends it with INTERNAL; without an inner body, and once it has said its last words, it has ended.
pub struct PanicBody<B> {
    inner: Option<B>,
    words: Option<Bytes>,
    grpc: bool,
}

impl<B> Default for PanicBody<B> {
    fn default() -> Self {
        Self { inner: None, words: None, grpc: false }
    }
}

impl<B> Body for PanicBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(
                self.words.take().filter(|words| !words.is_empty()).map(|words| Ok(Frame::data(words))),
            );
        };
        if let Some(polled) = caught(|| Pin::new(inner).poll_frame(cx)) {
            return polled.map_err(Into::into);
        }
        let broken = self.inner.take();
        caught(move || drop(broken));
        Poll::Ready(Some(if self.grpc {
            Ok(trailers(&internal()))
        } else {
            Err("a handler panicked while its body was being sent".into())
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().map_or_else(|| self.words.as_ref().is_none_or(Bytes::is_empty), Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let words = self.words.as_ref().map_or(0, Bytes::len);
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(words as u64), Body::size_hint)
    }
}

/// What `work` returns, or nothing when it panicked, in which case the log has the message; the place is in the panic
/// hook's own line. The caller drops whatever `work` touched, so that no broken state is seen again.
fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let panic = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => return Some(done),
        Err(panic) => panic,
    };
    tracing::error!(panic = message(&*panic), "a handler panicked; its caller gets INTERNAL");
    None
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}
