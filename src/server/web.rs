//! gRPC-Web, for browsers: translated on the way in and back on the way out, in front of everything that answers in
//! trailers, which no page can read.
use super::connection::RequestBody;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::{Status, body::Body as Translated};
use tonic_web::GrpcWebLayer;
use tower::{BoxError, Layer, Service};

/// What the translation takes for its own. Others of the kind (JSON, parameters) it would refuse without a word.
const KINDS: [&[u8]; 4] = [
    b"application/grpc-web",
    b"application/grpc-web+proto",
    b"application/grpc-web-text",
    b"application/grpc-web-text+proto",
];

fn is_grpc_web(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::POST && headers.get(CONTENT_TYPE).is_some_and(|kind| KINDS.contains(&kind.as_bytes()))
}

/// Has calls in gRPC-Web reach the inner service as gRPC; everything else passes as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct WebLayer;

impl<S> Layer<S> for WebLayer {
    type Service = Web<S>;

    fn layer(&self, inner: S) -> Web<S> {
        Web { inner }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Web<S> {
    inner: S,
}

impl<S, B> Service<Request<RequestBody>> for Web<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<WebBody<B>>;
    type Error = S::Error;
    type Future = WebFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        if !is_grpc_web(request.method(), request.headers()) {
            return WebFuture::Own { call: self.inner.call(request) };
        }
        // The one that was asked whether it is ready is the one that is called.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        let mut web = GrpcWebLayer::new().layer(Bodies { inner: ready });
        WebFuture::Web { call: Box::pin(web.call(request)) }
    }
}

/// Joins the body types: the translation gives tonic's and asks for errors that can be shown.
#[derive(Clone, Debug)]
struct Bodies<S> {
    inner: S,
}

impl<S, B> Service<Request<Translated>> for Bodies<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = Response<WebBody<B>>;
    type Error = S::Error;
    type Future = WebFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Translated>) -> Self::Future {
        WebFuture::Own { call: self.inner.call(request.map(|body| RequestBody::new(body.map_err(in_our_words)))) }
    }
}

/// What is wrong with a body, without the name of the library that found out.
fn in_our_words(status: Status) -> Status {
    match status.message().strip_prefix("tonic-web: ") {
        Some(words) => Status::new(status.code(), format!("gRPC-Web: {words}")),
        None => status,
    }
}

type Calling<E> = Pin<Box<dyn Future<Output = Result<Response<Translated>, E>> + Send>>;

pin_project! {
    /// A call; a translated one is apart, so that the others have no more to carry.
    #[project = WebFutureParts]
    pub(super) enum WebFuture<F, E> {
        Own {
            #[pin]
            call: F,
        },
        Web {
            call: Calling<E>,
        },
    }
}

impl<F, B, E> Future for WebFuture<F, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<WebBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project() {
            WebFutureParts::Own { call } => ready!(call.poll(cx)).map(|response| response.map(WebBody::Own)),
            WebFutureParts::Web { call } => {
                ready!(call.as_mut().poll(cx)).map(|response| response.map(WebBody::Translated))
            }
        })
    }
}

/// An answer's body, as it came from within or translated.
pub(super) enum WebBody<B> {
    Own(B),
    Translated(Translated),
}

/// Nothing, as CORS answers a page that asks whether it may ask.
impl<B> Default for WebBody<B> {
    fn default() -> Self {
        Self::Translated(Translated::empty())
    }
}

impl<B> Body for WebBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Translated(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Translated(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Translated(body) => body.size_hint(),
        }
    }
}
