//! Who calls is asked before anything of a call is read, and asked again for as long as a stream goes on.
//!
//! What [`Gate`] says becomes an answer in the caller's own terms: a status for gRPC, 401 and the application's words for
//! plain HTTP. Who is let in
//! stands in the request's extensions, where handlers find it.
use std::net::IpAddr;

use super::{
    Peer, denials,
    leased::{End, EntranceBody},
    plain::{Tongue, Wording, wordless},
    refusal::{self, is_grpc, trailers_only},
};
use crate::access::auth_token::Unsigned;
use crate::access::{Admitted, Caller, Checked, Denied, Gate, Lease, Verdict};
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body::Body;
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
    /// The paths whose callers may sign instead, which their handlers judge: a signature is over the body.
    is_signed: fn(&str) -> bool,
    max_header_bytes: u32,
    wording: Wording,
}

impl EntranceLayer {
    pub fn new(gate: Option<Gate>, is_open: fn(&str) -> bool) -> Self {
        Self { gate, is_open, is_signed: |_| false, max_header_bytes: u32::MAX, wording: wordless }
    }

    /// The handlers of these paths find [`AuthTokens`](crate::access::AuthTokens) beside the caller, and get callers who
    /// show nothing, as nobody, while there are any.
    pub fn with_signed(self, is_signed: fn(&str) -> bool) -> Self {
        Self { is_signed, ..self }
    }

    pub(super) fn with(self, max_header_bytes: u32, wording: Wording) -> Self {
        Self { max_header_bytes, wording, ..self }
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
        let mut call = EntranceFuture::of(&request, self.layer.wording);
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
        let tokens = match &self.layer.gate {
            Some(gate) if (self.layer.is_signed)(request.uri().path()) => Some(gate.auth_tokens()),
            Some(_) | None => None,
        };
        if let Some(tokens) = tokens.filter(|tokens| !tokens.is_empty()) {
            call.signed = Some(peer(&request));
            request.extensions_mut().insert(tokens);
        }
        match checked {
            Checked::Now(Err(Denied::Missing)) if call.signed.is_some() => {
                request.extensions_mut().insert(Caller::nobody());
                call.running = Some(self.inner.call(request));
            }
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
        // Who is to be counted, should its handler find it unsigned.
        signed: Option<Option<IpAddr>>,
        grpc: bool,
        tongue: Tongue,
    }
}

impl<S: Service<Request<R>>, R> EntranceFuture<S, R> {
    fn of(request: &Request<R>, wording: Wording) -> Self {
        let (grpc, tongue) = (is_grpc(request), Tongue::of(request, wording));
        Self { running: None, asking: None, refused: None, lease: None, signed: None, grpc, tongue }
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
            return Poll::Ready(Ok(if *this.grpc { refused.status() } else { refused.plain(*this.tongue) }));
        }
        let Some(running) = this.running.as_mut().as_pin_mut() else {
            unreachable!("a call is refused, asked for, or running")
        };
        let answer = ready!(running.poll(cx));
        if let (Some(peer), Ok(response)) = (*this.signed, &answer)
            && response.extensions().get::<Unsigned>().is_some()
        {
            denials::note_unsigned(peer);
        }
        let (lease, grpc) = (this.lease.take(), *this.grpc);
        Poll::Ready(answer.map(|response| {
            let end = if grpc { End::Status } else { End::of_plain(&response) };
            response.map(|body| EntranceBody::new(body, lease, end))
        }))
    }
}

/// Why there is no call.
#[derive(Clone, Copy)]
enum Refused {
    Denied(Denied),
    Headers { bytes: usize, most: u32 },
}

impl Refused {
    fn status<B: Body>(self) -> Response<EntranceBody<B>> {
        let status = match self {
            Self::Denied(denied) => refusal::denied(denied),
            Self::Headers { bytes, most } => refusal::headers_too_large(bytes, most),
        };
        trailers_only(status, EntranceBody::ended())
    }

    fn plain<B: Body>(self, tongue: Tongue) -> Response<EntranceBody<B>> {
        // One source of the sentences.
        let (status, said) = match self {
            Self::Headers { bytes, most } => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, refusal::headers_too_large(bytes, most))
            }
            Self::Denied(denied @ Denied::Busy { .. }) => (StatusCode::TOO_MANY_REQUESTS, refusal::denied(denied)),
            Self::Denied(denied) => (StatusCode::UNAUTHORIZED, refusal::denied(denied)),
        };
        let mut response = tongue.answer(status, said.message(), EntranceBody::saying);
        let headers = response.headers_mut();
        if let Self::Denied(Denied::Busy { retry_after, .. }) = self {
            // Whole seconds, and never none.
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        } else if status == StatusCode::UNAUTHORIZED {
            for challenge in [r#"Bearer realm="tasktally""#, r#"Basic realm="tasktally", charset="UTF-8""#] {
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
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
