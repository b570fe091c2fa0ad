//! `/wallboard/session`: a token is shown once, and a cookie is what the browser has from then on.
//!
//! Only the page itself gets here with effect: a browser says of each request where it comes from, and what comes from
//! another origin begins and ends no session.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use super::json;
use crate::access::sessions::{COOKIE_NAME, NoSession, Sessions};
use crate::access::{Checked, Denied, Gate, Verdict};
use crate::http::problem::Problem;
use crate::limits;
use crate::server::Peer;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who is known here, and how.
#[derive(Clone)]
pub struct Door {
    gate: Option<Gate>,
    sessions: Sessions,
    /// Whether browsers come by TLS, and are to show the cookie by nothing else.
    is_secure: bool,
}

impl Door {
    pub fn new(gate: Option<Gate>, sessions: Sessions, is_secure: bool) -> Door {
        Door { gate, sessions, is_secure }
    }

    fn cookie(&self, secret: &str, seconds: u64) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text =
            format!("{COOKIE_NAME}={secret}; Path=/wallboard; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        HeaderValue::from_str(&text).unwrap_or_else(|_| unreachable!("a secret is letters and digits"))
    }
}

#[derive(Serialize)]
struct Known {
    state: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    token: String,
}

/// What the caller has to do before he sees figures.
pub async fn state(State(door): State<Door>, request: Request) -> Response {
    let state = match &door.gate {
        None => "open",
        Some(_) if door.sessions.find(request.headers()).is_some() => "signed-in",
        Some(gate) => {
            let peer = request.extensions().get::<Peer>();
            let checked = gate.check(request.headers(), peer.and_then(|peer| peer.certificate.der()));
            if settled(checked).await.is_ok() { "known" } else { "needed" }
        }
    };
    json(&Known { state })
}

pub async fn sign_in(State(door): State<Door>, request: Request) -> Response {
    match begin(&door, request).await {
        Ok(secret) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            response.headers_mut().insert(SET_COOKIE, door.cookie(&secret, door.sessions.life().as_secs()));
            response
        }
        Err(refused) => refused.into_response(),
    }
}

pub async fn sign_out(State(door): State<Door>, request: Request) -> Response {
    if let Err(foreign) = from_here(request.uri(), request.headers()) {
        return foreign.into_response();
    }
    door.sessions.end(request.headers());
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(SET_COOKIE, door.cookie("", 0));
    response
}

/// Why nobody was let in.
enum Refused {
    Problem(Problem),
    /// For the transport to count, beside those whom it does not let in itself.
    Denied(Denied),
}

impl Refused {
    fn into_response(self) -> Response {
        let denied = match self {
            Refused::Problem(problem) => return problem.into_response(),
            Refused::Denied(denied) => denied,
        };
        let mut response = match denied {
            Denied::Busy { retry_after, .. } => {
                let busy = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many checks of secrets wait");
                let mut response = busy.into_response();
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
                response
            }
            Denied::Missing | Denied::Wrong | Denied::Expired => {
                Problem::new(StatusCode::UNAUTHORIZED, "the token is not known, or has expired").into_response()
            }
        };
        response.extensions_mut().insert(denied);
        response
    }
}

async fn begin(door: &Door, request: Request) -> Result<String, Refused> {
    let (parts, body) = request.into_parts();
    from_here(&parts.uri, &parts.headers).map_err(Refused::Problem)?;
    let Some(gate) = &door.gate else {
        let message = "nobody is asked for credentials here";
        return Err(Refused::Problem(Problem::new(StatusCode::CONFLICT, message)));
    };
    let token = token(&parts.headers, body).await.map_err(Refused::Problem)?;
    let mut shown = HeaderMap::new();
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| Refused::Denied(Denied::Wrong))?;
    shown.insert(AUTHORIZATION, bearer);
    let admitted = settled(gate.check(&shown, None)).await.map_err(Refused::Denied)?;
    door.sessions.begin(&admitted).map_err(|none| {
        let status = match none {
            NoSession::MayNotRead => StatusCode::FORBIDDEN,
            NoSession::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            NoSession::NoRandom => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refused::Problem(Problem::new(status, none.to_string()))
    })
}

async fn settled(checked: Checked) -> Verdict {
    match checked {
        Checked::Now(verdict) => verdict,
        Checked::Later(verdict) => verdict.await,
    }
}

/// JSON and nothing else: what a form of another page can send is not.
async fn token(headers: &HeaderMap, body: Body) -> Result<String, Problem> {
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type must be application/json"));
    }
    let body = to_bytes(body, limits::SIGN_IN_BYTES).await.map_err(|_| {
        let message = format!("the body cannot be read, or is larger than {} bytes", limits::SIGN_IN_BYTES);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })?;
    // What is wrong with it is not told: it may hold a secret.
    let shown: Shown =
        serde_json::from_slice(&body).map_err(|_| Problem::invalid("the body must be {\"token\": …}"))?;
    Ok(shown.token)
}

/// That a request comes from a page of this origin, or from no page: browsers say where from.
fn from_here(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_ours = match (text(SEC_FETCH_SITE), text(ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = uri.authority().map(|authority| authority.as_str()).or(text(HOST));
            origin.split_once("://").is_some_and(|(_, from)| Some(from) == host)
        }
        // Not a browser, which has no cookies of anybody else's.
        (None, None) => true,
    };
    if is_ours {
        Ok(())
    } else {
        Err(Problem::new(StatusCode::FORBIDDEN, "sessions begin and end on this server's own page"))
    }
}
