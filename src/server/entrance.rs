//! Who calls is asked before anything of a call is read, and asked again for as long as a stream goes on.
//!
//! What [`Gate`] says becomes an answer in the caller's own terms: a status for gRPC, 401 for plain HTTP. Who is let in
//! stands in the request's extensions, where handlers find it.
use std::net::IpAddr;

use super::{
    Peer, denials,
    fuse::{READ_GRACE, arm},
    refusal::{self, is_grpc, trailers, trailers_only},
};
use crate::access::{Admitted, Caller, Checked, Denied, Gate, Lease, Verdict};
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower::{BoxError, Layer, Service};

/// Lets callers in by what they show. Without a gate everybody is let in, and may do everything.
#[derive(Clone)]
pub struct EntranceLayer {
    gate: Option<Gate>,
    /// The paths that need no credentials; who calls them is nobody.
    is_open: fn(&str) -> bool,
    max_header_bytes: u32,
}

impl EntranceLayer {
    pub fn new(gate: Option<Gate>, is_open: fn(&str) -> bool) -> Self {
        Self { gate, is_open, max_header_bytes: u32::MAX }
    }

    pub(super) fn with_header_bytes(self, max_header_bytes: u32) -> Self {
        Self { max_header_bytes, ..self }
    }
}

/// Whether a path belongs to the health service, which probes without credentials ask.
pub fn is_health(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
}

/// Whether a path belongs to reflection, in either version.
pub fn is_reflection(path: &str) -> bool {
    path.starts_with("/grpc.reflection.v1.ServerReflection/")
        || path.starts_with("/grpc.reflection.v1alpha.ServerReflection/")
}

/// Whether a path belongs to either.
pub fn is_health_or_reflection(path: &str) -> bool {
    is_health(path) || is_reflection(path)
}

impl<S> Layer<S> for EntranceLayer {
    type Service = Entrance<S>;

    fn layer(&self, inner: S) -> Entrance<S> {
        Entrance { inner, layer: self.clone() }
    }
}

#[derive(Clone)]
pub struct Entrance<S> {
    inner: S,
    layer: EntranceLayer,
}

impl<S, R, B> Service<Request<R>> for Entrance<S>
where
    S: Service<Request<R>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    R: Send + 'static,
    B: Body<Data = Bytes> + Unpin + Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<EntranceBody<B>>;
    type Error = S::Error;
    type Future = EntranceFuture<S, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<R>) -> Self::Future {
        let mut call = EntranceFuture::of(&request);
        let bytes = header_bytes(&request);
        if bytes > self.layer.max_header_bytes as usize {
            call.refused = Some(Refused::Headers { bytes, most: self.layer.max_header_bytes });
            return call;
        }
        let checked = match &self.layer.gate {
            None => {
                request.extensions_mut().insert(Caller::everything());
                call.running = Some(self.inner.call(request));
                return call;
            }
            Some(_) if (self.layer.is_open)(request.uri().path()) => {
                call.running = Some(self.inner.call(request));
                return call;
            }
            Some(gate) => gate.check(request.headers(), certificate(&request)),
        };
        match checked {
            Checked::Now(Ok(admitted)) => {
                call.lease = Some(let_in(&mut request, admitted));
                call.running = Some(self.inner.call(request));
            }
            Checked::Now(Err(denied)) => {
                denials::note(denied, peer(&request));
                call.refused = Some(Refused::Denied(denied));
            }
            Checked::Later(verdict) => {
                // The one that is ready is the one that is called.
                let fresh = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, fresh);
                call.asking = Some(Asking { verdict, inner, request });
            }
        }
        call
    }
}

fn let_in<R>(request: &mut Request<R>, admitted: Admitted) -> Lease {
    request.extensions_mut().insert(admitted.caller);
    request.extensions_mut().insert(admitted.name);
    admitted.lease
}

fn peer<R>(request: &Request<R>) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.address.ip())
}

/// The client's certificate, which the handshake has verified.
fn certificate<R>(request: &Request<R>) -> Option<&[u8]> {
    request.extensions().get::<Peer>()?.certificate.der()
}

/// A call for which the gate still has to ask.
struct Asking<S, R> {
    verdict: Pin<Box<dyn Future<Output = Verdict> + Send>>,
    inner: S,
    request: Request<R>,
}

pin_project! {
    /// The call; or what is asked before there is one; or why there is none.
    pub struct EntranceFuture<S, R>
    where
        S: Service<Request<R>>,
    {
        #[pin]
        running: Option<S::Future>,
        asking: Option<Asking<S, R>>,
        refused: Option<Refused>,
        lease: Option<Lease>,
        grpc: bool,
    }
}

impl<S: Service<Request<R>>, R> EntranceFuture<S, R> {
    fn of(request: &Request<R>) -> Self {
        Self { running: None, asking: None, refused: None, lease: None, grpc: is_grpc(request) }
    }
}

impl<S, R, B> Future for EntranceFuture<S, R>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<EntranceBody<B>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(mut asking) = this.asking.take() {
            match asking.verdict.as_mut().poll(cx) {
                Poll::Pending => {
                    *this.asking = Some(asking);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(admitted)) => {
                    *this.lease = Some(let_in(&mut asking.request, admitted));
                    this.running.set(Some(asking.inner.call(asking.request)));
                }
                Poll::Ready(Err(denied)) => {
                    denials::note(denied, peer(&asking.request));
                    *this.refused = Some(Refused::Denied(denied));
                }
            }
        }
        if let Some(refused) = this.refused.take() {
            return Poll::Ready(Ok(refused.answer(*this.grpc)));
        }
        let Some(running) = this.running.as_mut().as_pin_mut() else {
            unreachable!("a call is refused, asked for, or running")
        };
        let answer = ready!(running.poll(cx));
        let (lease, grpc) = (this.lease.take(), *this.grpc);
        Poll::Ready(answer.map(|response| response.map(|body| EntranceBody::new(body, lease, grpc))))
    }
}

/// Why there is no call.
enum Refused {
    Denied(Denied),
    Headers { bytes: usize, most: u32 },
}

impl Refused {
    fn answer<B: Body>(self, grpc: bool) -> Response<EntranceBody<B>> {
        if grpc {
            let status = match self {
                Self::Denied(denied) => refusal::denied(denied),
                Self::Headers { bytes, most } => refusal::headers_too_large(bytes, most),
            };
            return trailers_only(status, EntranceBody::ended());
        }
        let mut response = Response::new(EntranceBody::ended());
        match self {
            Self::Headers { .. } => *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Denied(Denied::Busy { retry_after, .. }) => {
                *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                // Whole seconds, and never none.
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            }
            Self::Denied(_) => {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                for challenge in [r#"Bearer realm="tasktally""#, r#"Basic realm="tasktally", charset="UTF-8""#] {
                    response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
                }
            }
        }
        response
    }
}

/// The headers of a request as HTTP/2 counts them: a field is its name, its value, and 32 bytes.
fn header_bytes<R>(request: &Request<R>) -> usize {
    const FIELD: usize = 32;
    let (uri, method) = (request.uri(), request.method().as_str());
    let pseudo = [
        (":method", Some(method)),
        (":scheme", uri.scheme_str()),
        (":authority", uri.authority().map(|authority| authority.as_str())),
        (":path", uri.path_and_query().map(|path| path.as_str())),
    ];
    let pseudo = pseudo.iter().filter_map(|(name, value)| Some(name.len() + (*value)?.len() + FIELD));
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    pseudo.chain(fields).sum()
}

/// A body that ends with its caller's credentials; without an inner body it has ended.
pub struct EntranceBody<B> {
    inner: Option<B>,
    lease: Option<Lease>,
    /// There once the body had to wait, which an answer made at once never does.
    over: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    has_sent: bool,
    grpc: bool,
}

impl<B> EntranceBody<B> {
    fn new(inner: B, lease: Option<Lease>, grpc: bool) -> Self {
        Self { inner: Some(inner), lease, over: None, has_sent: false, grpc }
    }

    fn ended() -> Self {
        Self { inner: None, lease: None, over: None, has_sent: false, grpc: false }
    }

    fn poll_over(&mut self, lease: &Lease, cx: &mut Context<'_>) -> bool {
        let over = self.over.get_or_insert_with(|| {
            let stalled = lease.clone();
            // A client that reads nothing is not polled, and must not keep what is no longer its own.
            arm(async move {
                stalled.over().await;
                tokio::time::sleep(READ_GRACE).await;
            });
            Box::pin(lease.clone().over())
        });
        over.as_mut().poll(cx).is_ready()
    }
}

impl<B> Body for EntranceBody<B>
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
        let Some(lease) = this.lease.take() else { return polled };
        let is_over = match &polled {
            Poll::Pending => this.poll_over(&lease, cx),
            // The first data is what the call asked for while its caller was known; later ones are a stream's.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                std::mem::replace(&mut this.has_sent, true) && lease.is_over()
            }
            Poll::Ready(_) => false,
        };
        if !is_over {
            this.lease = Some(lease);
            return polled;
        }
        let grpc = this.grpc;
        *this = Self::ended();
        Poll::Ready(Some(if grpc {
            Ok(trailers(&refusal::lease_over()))
        } else {
            Err("the credentials of the caller are no longer good".into())
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.lease) {
            (None, _) => SizeHint::with_exact(0),
            (Some(inner), None) => inner.size_hint(),
            // It may be cut, so no length may be promised.
            (Some(_), Some(_)) => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A stream that has data whenever it is asked.
    struct Endless;

    impl Body for Endless {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"more")))))
        }
    }

    #[tokio::test]
    async fn a_stream_that_never_waits_ends_with_its_lease_too_but_not_before_its_first_data() {
        for frames_before in [0, 1, 3] {
            let taken_away = CancellationToken::new();
            let lease = Lease::until_cancelled(taken_away.clone());
            let mut body = EntranceBody::new(Endless, Some(lease), true);
            for _ in 0..frames_before {
                assert!(body.frame().await.unwrap().unwrap().is_data());
            }
            taken_away.cancel();
            if frames_before == 0 {
                assert!(body.frame().await.unwrap().unwrap().is_data(), "its caller was known when it was made");
            }
            let last = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
            assert_eq!(last["grpc-status"], (tonic::Code::Unauthenticated as i32).to_string());
            assert!(body.frame().await.is_none() && body.is_end_stream());
        }
    }
}
