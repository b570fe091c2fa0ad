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
use crate::access::sessions::Sessions;
use crate::access::{Admitted, Caller, Checked, Denied, Gate, Lease, Verdict};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
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
    browsing: Option<Browsing>,
    max_header_bytes: u32,
    wording: Wording,
}

impl EntranceLayer {
    pub fn new(gate: Option<Gate>, is_open: fn(&str) -> bool) -> Self {
        Self { gate, is_open, is_signed: |_| false, browsing: None, max_header_bytes: u32::MAX, wording: wordless }
    }

    /// The handlers of these paths find [`AuthTokens`](crate::access::AuthTokens) beside the caller, and get callers who
    /// show nothing, as nobody, while there are any.
    pub fn with_signed(self, is_signed: fn(&str) -> bool) -> Self {
        Self { is_signed, ..self }
    }

    /// The callers of some paths are browsers.
    pub fn with_browsing(self, browsing: Browsing) -> Self {
        Self { browsing: Some(browsing), ..self }
    }

    pub(super) fn with(self, max_header_bytes: u32, wording: Wording) -> Self {
        Self { max_header_bytes, wording, ..self }
    }
}

/// Where the callers are browsers, and what they may show instead of credentials.
#[derive(Clone)]
pub struct Browsing {
    pub sessions: Sessions,
    /// The calls for which a session is enough.
    pub takes_session: fn(&Method, &str) -> bool,
    /// The paths that browsers ask for. A challenge there is none that has browsers ask for a password on their own.
    pub is_browsed: fn(&str) -> bool,
}

impl Browsing {
    /// Whoever shows credentials is known by them alone. A browser that is told by a page of another origin to ask for
    /// something says so, and its session is not looked at.
    fn session<R>(&self, request: &Request<R>) -> Option<Admitted> {
        let headers = request.headers();
        let is_ours = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
        let is_asked = is_ours && !headers.contains_key(AUTHORIZATION);
        let takes = is_asked && (self.takes_session)(request.method(), request.uri().path());
        if takes { self.sessions.find(headers) } else { None }
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
        Entrance { inner, layer: Arc::new(self.clone()) }
    }
}

#[derive(Clone)]
pub struct Entrance<S> {
    inner: S,
    /// Shared, since each call has a copy of its service.
    layer: Arc<EntranceLayer>,
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
        call.browsed = self.layer.browsing.as_ref().is_some_and(|browsing| (browsing.is_browsed)(request.uri().path()));
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
            Some(gate) => {
                let session = self.layer.browsing.as_ref().and_then(|browsing| browsing.session(&request));
                match session {
                    Some(admitted) => Checked::Now(Ok(admitted)),
                    None => gate.check(request.headers(), certificate(&request)),
                }
            }
        };
        let tokens = match &self.layer.gate {
            Some(gate) if (self.layer.is_signed)(request.uri().path()) => Some(gate.auth_tokens()),
            Some(_) | None => None,
        };
        if let Some(tokens) = tokens.filter(|tokens| !tokens.is_empty()) {
            call.signed = true;
            request.extensions_mut().insert(tokens);
        }
        match checked {
            Checked::Now(Err(Denied::Missing)) if call.signed => {
                request.extensions_mut().insert(Caller::nobody());
                call.running = Some(self.inner.call(request));
            }
            Checked::Now(Ok(admitted)) => {
                call.lease = Some(let_in(&mut request, admitted));
                call.running = Some(self.inner.call(request));
            }
            Checked::Now(Err(denied)) => {
                match call.browsed {
                    true => denials::note_browser(denied, peer(&request)),
                    false => denials::note(denied, peer(&request)),
                }
                call.refused = Some(Refused::Denied(denied));
            }
            Checked::Later(verdict) => {
                // The one that is ready is the one that is called.
                let fresh = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, fresh);
                call.asking = Some(Box::new(Asking { verdict, inner, request }));
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
        // Seldom there, and large.
        asking: Option<Box<Asking<S, R>>>,
        refused: Option<Refused>,
        lease: Option<Lease>,
        // Whether its handler judges a signature.
        signed: bool,
        browsed: bool,
        // Who is to be counted, should its handler not let it in.
        peer: Option<IpAddr>,
        grpc: bool,
        tongue: Tongue,
    }
}

impl<S: Service<Request<R>>, R> EntranceFuture<S, R> {
    fn of(request: &Request<R>, wording: Wording) -> Self {
        let (grpc, tongue) = (is_grpc(request), Tongue::of(request, wording));
        let (running, asking, refused, lease, peer) = (None, None, None, None, peer(request));
        Self { running, asking, refused, lease, signed: false, browsed: false, peer, grpc, tongue }
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
            return Poll::Ready(Ok(if *this.grpc {
                refused.status()
            } else {
                refused.plain(*this.tongue, *this.browsed)
            }));
        }
        let Some(running) = this.running.as_mut().as_pin_mut() else {
            unreachable!("a call is refused, asked for, or running")
        };
        let answer = ready!(running.poll(cx));
        if let Ok(response) = &answer {
            if *this.signed && response.extensions().get::<Unsigned>().is_some() {
                denials::note_unsigned(*this.peer);
            }
            if let Some(denied) = response.extensions().get::<Denied>() {
                denials::note(*denied, *this.peer);
            }
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

    fn plain<B: Body>(self, tongue: Tongue, browsed: bool) -> Response<EntranceBody<B>> {
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
            const CHALLENGES: [&str; 2] =
                [r#"Bearer realm="tasktally""#, r#"Basic realm="tasktally", charset="UTF-8""#];
            for challenge in &CHALLENGES[..if browsed { 1 } else { 2 }] {
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
