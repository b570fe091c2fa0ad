//! TaskRouter's REST Events API as a client sees it: one page at a time, again and again until it is there.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::DateTime;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;

use super::args::SourceArgs;
use crate::cli::client::now_ms;
use crate::cli::failure::Failure;
use crate::cli::text::{printable, rfc3339};
use crate::cli::token::{in_file, one_word};
use crate::limits;

/// One page of events, newest first.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<Value>,
    /// Where the page after it is.
    pub next: Option<String>,
}

impl Page {
    /// When its oldest event was, as far as its events say.
    pub fn oldest_ms(&self) -> Option<i64> {
        let times = self.events.iter().map(|event| &event["event_date_ms"]);
        times.filter_map(|at| at.as_i64().or_else(|| at.as_str()?.parse().ok())).min()
    }
}

#[derive(Deserialize)]
struct PageBody {
    events: Vec<Value>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    next_page_url: Option<String>,
}

/// What a request came to, other than to a page.
enum Trouble {
    /// It may pass; the server may have said when.
    Passing {
        words: String,
        after: Option<Duration>,
    },
    Final(Failure),
}

pub struct Source {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    authorization: HeaderValue,
    base: String,
    page_size: usize,
    page_timeout: Duration,
    /// Least time between two requests.
    interval: Duration,
    next_request: Instant,
    /// How long to go on while no page comes.
    patience: Duration,
    pub requests: u64,
    pub retries: u64,
}

impl Source {
    /// # Errors
    /// There is no token, or its file cannot be read.
    pub fn new(args: &SourceArgs, patience: Duration) -> Result<Source, Failure> {
        let token = token(args)?;
        let user = args.api_key.as_deref().unwrap_or(&args.account_sid);
        let shown = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{token}")));
        let not_header = |_| Failure::Usage("--account-sid and the token must be printable ASCII".to_owned());
        let mut authorization = HeaderValue::from_str(&shown).map_err(not_header)?;
        authorization.set_sensitive(true);
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| Failure::Usage(format!("TLS: {error}")))?;
        let connector = tls.https_or_http().enable_http1().build();
        Ok(Source {
            client: Client::builder(TokioExecutor::new()).build(connector),
            authorization,
            base: args.base_url.clone(),
            page_size: args.page_size,
            page_timeout: args.page_timeout,
            interval: Duration::from_secs_f64(1.0 / args.max_requests_per_second),
            next_request: Instant::now(),
            patience,
            requests: 0,
            retries: 0,
        })
    }

    /// Where the first page of a window is; both ends belong to it.
    pub fn first_page(&self, workspace: &str, start_s: i64, end_s: i64) -> String {
        let time = |second: i64| rfc3339(second * 1000).replace(".000Z", "Z").replace(':', "%3A");
        let (base, size) = (&self.base, self.page_size);
        let (start, end) = (time(start_s), time(end_s));
        format!("{base}/v1/Workspaces/{workspace}/Events?StartDate={start}&EndDate={end}&PageSize={size}")
    }

    /// Asks for a page until it comes: no faster than the bounds allow, slower when the server asks for that.
    ///
    /// # Errors
    /// No repetition can help, or no page came for as long as our patience lasts.
    pub async fn page(&mut self, url: &str) -> Result<Page, Failure> {
        let uri = self.own(url)?;
        let since = Instant::now();
        let mut tries = 0;
        loop {
            tokio::time::sleep_until(self.next_request.into()).await;
            self.next_request = Instant::now() + self.interval;
            self.requests += 1;
            let (words, after) = match self.ask(uri.clone()).await {
                Ok(page) => return Ok(page),
                Err(Trouble::Final(failure)) => return Err(failure),
                Err(Trouble::Passing { words, after }) => (words, after),
            };
            tries += 1;
            self.retries += 1;
            let pause = pause(tries, after);
            if since.elapsed() + pause > self.patience {
                return Err(Failure::SourceGone { tries, words });
            }
            tracing::warn!(%words, ?pause, tries, "TaskRouter did not answer with a page: asking again");
            self.next_request = Instant::now() + pause;
        }
    }

    /// That the credentials go nowhere else, whatever a page names.
    fn own(&self, url: &str) -> Result<Uri, Failure> {
        let refused = || Failure::Source(format!("the API names a next page elsewhere: {}", printable(url)));
        let uri: Uri = url.parse().map_err(|_| refused())?;
        let base: Uri = self.base.parse().map_err(|_| refused())?;
        let is_ours = uri.scheme() == base.scheme() && uri.authority() == base.authority();
        if is_ours { Ok(uri) } else { Err(refused()) }
    }

    async fn ask(&self, uri: Uri) -> Result<Page, Trouble> {
        let request = Request::get(uri)
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("tasktally/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| Trouble::Final(Failure::Source(error.to_string())))?;
        let passing = |words: String| Trouble::Passing { words, after: None };
        let answered = async {
            let answer = self.client.request(request).await.map_err(|error| passing(causes(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, limits::IMPORT_PAGE_BYTES).collect().await;
            let body = body.map_err(|error| match error.downcast::<http_body_util::LengthLimitError>() {
                Ok(_) => {
                    let most = limits::IMPORT_PAGE_BYTES;
                    Trouble::Final(Failure::Source(format!("a page is larger than {most} bytes: lower --page-size")))
                }
                Err(error) => passing(causes(&*error)),
            })?;
            page_of(head.status, &head.headers, &body.to_bytes())
        };
        let late = |_| passing(format!("no answer within {}", humantime::format_duration(self.page_timeout)));
        tokio::time::timeout(self.page_timeout, answered).await.map_err(late)?
    }
}

fn token(args: &SourceArgs) -> Result<String, Failure> {
    match &args.auth_token_file {
        Some(file) => in_file("--auth-token-file", file),
        None => one_word(&std::env::var("TWILIO_AUTH_TOKEN").map_err(|_| {
            Failure::Usage(
                "say the auth token: in the variable TWILIO_AUTH_TOKEN, or --auth-token-file FILE".to_owned(),
            )
        })?),
    }
}

fn page_of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Page, Trouble> {
    if status == StatusCode::OK {
        let page: PageBody = serde_json::from_slice(body).map_err(|error| Trouble::Passing {
            words: format!("what came is not a page of events: {error}"),
            after: None,
        })?;
        let next = page.meta.next_page_url.filter(|url| !url.is_empty());
        return Ok(Page { events: page.events, next });
    }
    let words = words_of(status, body);
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Trouble::Passing { words, after: retry_after(headers, now_ms()) }
        }
        _ if status.is_server_error() => Trouble::Passing { words, after: retry_after(headers, now_ms()) },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Trouble::Final(Failure::SourceAccess(format!(
            "{words}\n  check --account-sid, and the token in TWILIO_AUTH_TOKEN or --auth-token-file"
        ))),
        _ => Trouble::Final(Failure::Source(words)),
    })
}

/// The status, and what the API's error says.
fn words_of(status: StatusCode, body: &[u8]) -> String {
    let mut words = status.to_string();
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(message) = error["message"].as_str() {
        let _ = write!(words, ": {}", printable(message));
    }
    if let Some(code) = error["code"].as_i64() {
        let _ = write!(words, " (code {code})");
    }
    words
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    Some(Duration::from_millis(u64::try_from(at - now_ms).unwrap_or(0)))
}

/// Doubling and jittered; never shorter than what was asked for.
fn pause(tries: u32, asked: Option<Duration>) -> Duration {
    let doubled = limits::IMPORT_BACKOFF_MIN * 2_u32.pow((tries - 1).min(16));
    let own = doubled.min(limits::IMPORT_BACKOFF_MAX).mul_f64(0.5 + rand::random::<f64>() / 2.0);
    match asked {
        Some(asked) => own.max(asked.mul_f64(1.0 + rand::random::<f64>() / 10.0)),
        None => own,
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(words, ": {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(retry_after: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(retry_after).unwrap())])
    }

    #[test]
    fn a_server_may_ask_for_seconds_or_name_a_time() {
        let now = 784_111_777_000;
        let asked = |text: &str| retry_after(&headers(text), now);
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:40 GMT"), Some(Duration::from_secs(3)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO), "in the past");
        assert_eq!(asked("soon"), None);
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_heed_what_is_asked() {
        for (tries, most) in [(1, limits::IMPORT_BACKOFF_MIN), (3, 4 * limits::IMPORT_BACKOFF_MIN)] {
            let pause = pause(tries, None);
            assert!(most / 2 <= pause && pause <= most, "{tries}: {pause:?}");
        }
        assert!(pause(100, None) <= limits::IMPORT_BACKOFF_MAX);
        assert!(pause(1, Some(Duration::from_secs(9))) >= Duration::from_secs(9));
    }

    #[test]
    fn answers_are_told_apart_by_what_to_do_next() {
        let is_passing = |status: u16, body: &str| {
            let answer = page_of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes());
            matches!(answer, Err(Trouble::Passing { .. }))
        };
        for (status, body) in [(500, ""), (503, "{}"), (429, ""), (408, ""), (200, "{\"events\":["), (200, "<html>")] {
            assert!(is_passing(status, body), "{status} {body}");
        }
        for status in [400, 401, 403, 404, 301] {
            assert!(!is_passing(status, ""), "{status}");
        }
        let page = page_of(StatusCode::OK, &HeaderMap::new(), br#"{"events":[{}],"meta":{"next_page_url":null}}"#);
        assert!(page.is_ok_and(|page| page.events.len() == 1 && page.next.is_none()));
    }
}
