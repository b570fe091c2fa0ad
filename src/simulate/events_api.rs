//! The centre's past as TaskRouter's REST Events API has it, for whoever wants to try an import: paged, newest first, and
//! asked with the account's sid and auth token.
//!
//! What is to come joins it in its own time. A page is named by the event that it begins after, so that what joins moves
//! nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::DateTime;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::service_fn;

use super::{Centre, timestamp_ms};
use crate::api::proto::v1::Event;
use crate::cli::client::now_ms;
use crate::cli::failure::Failure;
use crate::cli::{interrupt, say};
use crate::limits;
use crate::taskrouter::rest;

/// Events of a page that is not told how many.
const PAGE_EVENTS: usize = 50;

/// Events of a page at most, as TaskRouter has it.
const MOST_PAGE_EVENTS: usize = 1_000;

/// The events of one workspace, oldest first.
type History = Vec<(i64, Event)>;

/// Everything that has happened so far.
struct Past {
    centre: std::iter::Peekable<Centre>,
    workspaces: BTreeMap<String, History>,
    /// From this moment on nothing happens any more.
    until_ms: Option<i64>,
}

/// Serves until it is interrupted.
///
/// # Errors
/// The address cannot be listened on.
pub(super) async fn serve(
    centre: Centre,
    listen: SocketAddr,
    auth_token: &str,
    until_ms: Option<i64>,
) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| Failure::local(format!("--listen {listen}"), error))?;
    let address = listener.local_addr().map_err(|error| Failure::local(format!("--listen {listen}"), error))?;
    let shown = STANDARD.encode(format!("{}:{auth_token}", centre.account_sid()));
    let (account, sids) = (centre.account_sid().to_owned(), centre.workspace_sids());
    let workspaces = sids.iter().map(|sid| (sid.clone(), History::new())).collect();
    let past = Arc::new(Mutex::new(Past { centre: centre.peekable(), workspaces, until_ms }));
    say(format_args!(
        "TaskRouter's Events API of the centre is at http://{address}, until Ctrl-C. Try:\n  \
         tasktally import-taskrouter --base-url http://{address} --account-sid {account} --auth-token-file FILE {}",
        sids.join(" ")
    ));
    let shown: Arc<str> = format!("Basic {shown}").into();
    let accept = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // A full file table passes when a connection ends.
                tokio::time::sleep(limits::CLIENT_BACKOFF_MIN).await;
                continue;
            };
            let (past, shown) = (Arc::clone(&past), Arc::clone(&shown));
            let service = service_fn(move |request| {
                let answer = answer(&past, &shown, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                // A connection that breaks is its client's to mind.
                let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
            });
        }
    };
    tokio::select! {
        () = accept => Ok(()),
        () = interrupt() => Ok(()),
    }
}

fn answer<B>(past: &Mutex<Past>, shown: &str, request: &Request<B>) -> Response<Full<Bytes>> {
    if request.headers().get(AUTHORIZATION).is_none_or(|given| given.as_bytes() != shown.as_bytes()) {
        return told(StatusCode::UNAUTHORIZED, problem(20003, "Authenticate", StatusCode::UNAUTHORIZED));
    }
    let path = request.uri().path();
    let workspace = path.strip_prefix("/v1/Workspaces/").and_then(|rest| rest.strip_suffix("/Events"));
    // Whole at every moment, so that a panic elsewhere does not spoil it.
    let mut past = past.lock().unwrap_or_else(PoisonError::into_inner);
    past.go_on(now_ms());
    let Some((sid, history)) = workspace.and_then(|sid| past.workspaces.get_key_value(sid)) else {
        let text = format!("The requested resource {path} was not found");
        return told(StatusCode::NOT_FOUND, problem(20404, &text, StatusCode::NOT_FOUND));
    };
    if request.method() != Method::GET {
        let text = "Method not allowed";
        return told(StatusCode::METHOD_NOT_ALLOWED, problem(20004, text, StatusCode::METHOD_NOT_ALLOWED));
    }
    match Query::read(request.uri().query().unwrap_or_default()) {
        Ok(query) => told(StatusCode::OK, query.page(&base(request.headers()), sid, history)),
        Err(name) => {
            told(StatusCode::BAD_REQUEST, problem(20001, &format!("Invalid parameter {name}"), StatusCode::BAD_REQUEST))
        }
    }
}

fn told(status: StatusCode, value: Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn problem(code: u32, message: &str, status: StatusCode) -> Value {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    json!({"code": code, "message": message, "more_info": more_info, "status": status.as_u16()})
}

/// Where the caller believes to be.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}

impl Past {
    fn go_on(&mut self, now_ms: i64) {
        let until_ms = self.until_ms.map_or(now_ms + 1, |until_ms| until_ms.min(now_ms + 1));
        while let Some(event) = self.centre.next_if(|event| timestamp_ms(event) < until_ms) {
            if let Some(history) = self.workspaces.get_mut(&event.workspace_sid) {
                history.push((timestamp_ms(&event), event));
            }
        }
    }
}

/// What a page is asked for with.
struct Query {
    start_ms: i64,
    end_ms: i64,
    size: usize,
    page: usize,
    /// How many of the workspace's events are older than the page, or in it.
    token: Option<usize>,
    /// What the following pages are asked for with, too.
    lasting: String,
}

impl Query {
    /// # Errors
    /// The name of a parameter that is none.
    fn read(text: &str) -> Result<Query, &'static str> {
        let mut query = Query {
            start_ms: i64::MIN,
            end_ms: i64::MAX,
            size: PAGE_EVENTS,
            page: 0,
            token: None,
            lasting: String::new(),
        };
        for pair in text.split('&') {
            let (name, encoded) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(encoded).decode_utf8_lossy();
            match name {
                "StartDate" => query.start_ms = time(&value).ok_or("StartDate")?,
                // To the second, and with it.
                "EndDate" => query.end_ms = time(&value).ok_or("EndDate")? + 999,
                "PageSize" => query.size = value.parse().ok().filter(within_page).ok_or("PageSize")?,
                "Page" => query.page = value.parse().map_err(|_| "Page")?,
                "PageToken" => query.token = Some(value.parse().map_err(|_| "PageToken")?),
                _ => continue,
            }
            if !matches!(name, "Page" | "PageToken") {
                query.lasting.push_str(&format!("{name}={encoded}&"));
            }
        }
        Ok(query)
    }

    /// One page, newest first.
    fn page(&self, base: &str, workspace_sid: &str, history: &History) -> Value {
        let first = history.partition_point(|(at_ms, _)| *at_ms < self.start_ms);
        let end = history.partition_point(|(at_ms, _)| *at_ms <= self.end_ms);
        let end = self.token.map_or(end, |token| token.min(end)).max(first);
        let begin = end.saturating_sub(self.size).max(first);
        let events: Vec<Value> = history[begin..end].iter().rev().map(|(_, event)| rest::write(event)).collect();
        let path = format!("{base}/v1/Workspaces/{workspace_sid}/Events");
        let of_page = |page: usize, token: usize| format!("{path}?{}Page={page}&PageToken={token}", self.lasting);
        let next = (begin > first).then(|| of_page(self.page + 1, begin));
        let first_page = format!("{path}?{}Page=0", self.lasting);
        json!({
            "events": events,
            "meta": {
                "key": "events",
                "page": self.page,
                "page_size": self.size,
                "first_page_url": first_page,
                "previous_page_url": null,
                "next_page_url": next,
                "url": self.token.map_or(first_page.clone(), |token| of_page(self.page, token)),
            },
        })
    }
}

fn within_page(size: &usize) -> bool {
    (1..=MOST_PAGE_EVENTS).contains(size)
}

fn time(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Settings;

    const START_MS: i64 = 1_767_225_600_000;

    fn past() -> (Past, String) {
        let settings = Settings { start_ms: START_MS, workspaces: 2, workers: 5, tasks_per_second: 0.05 };
        let centre = Centre::new(7, settings);
        let sids = centre.workspace_sids();
        let workspaces = sids.iter().map(|sid| (sid.clone(), History::new())).collect();
        let mut past = Past { centre: centre.peekable(), workspaces, until_ms: None };
        past.go_on(START_MS + 3_600_000);
        (past, sids[0].clone())
    }

    /// The sids of all pages, as a reader that follows the links gets them.
    fn read(past: &mut Past, sid: &str, query: &str, mut between: impl FnMut(&mut Past)) -> Vec<String> {
        let (mut query, mut sids) = (query.to_owned(), Vec::new());
        loop {
            let page = Query::read(&query).unwrap().page("http://x", sid, &past.workspaces[sid]);
            sids.extend(
                page["events"].as_array().unwrap().iter().map(|event| event["sid"].as_str().unwrap().to_owned()),
            );
            between(past);
            match page["meta"]["next_page_url"].as_str() {
                Some(url) => query = url.split_once('?').unwrap().1.to_owned(),
                None => return sids,
            }
        }
    }

    #[test]
    fn pages_newest_first_hold_each_event_once_though_others_join_meanwhile() {
        let (mut past, sid) = past();
        let mut expected: Vec<String> = past.workspaces[&sid].iter().map(|(_, event)| event.sid.clone()).collect();
        expected.reverse();
        assert!(expected.len() > 500, "{}", expected.len());
        for size in [1, 7, 50, 1000] {
            let mut now_ms = START_MS + 3_600_000;
            let end = "EndDate=2026-01-01T00%3A59%3A59Z";
            let got = read(&mut past, &sid, &format!("{end}&PageSize={size}"), |past| {
                now_ms += 1_000;
                past.go_on(now_ms);
            });
            assert_eq!(got, expected, "pages of {size}");
        }
    }

    #[test]
    fn a_window_has_both_its_ends_and_what_is_no_parameter_is_named() {
        let (mut past, sid) = past();
        let second = past.workspaces[&sid][40].0 / 1000 * 1000;
        let at = crate::cli::text::rfc3339(second).replace(".000Z", "Z");
        let within = past.workspaces[&sid].iter().filter(|(ms, _)| (second..second + 1000).contains(ms)).count();
        let got = read(&mut past, &sid, &format!("StartDate={at}&EndDate={at}"), |_| {});
        assert!(!got.is_empty() && got.len() == within, "{got:?} {within}");
        for (query, name) in [("PageSize=0", "PageSize"), ("PageSize=1001", "PageSize"), ("StartDate=x", "StartDate")] {
            assert_eq!(Query::read(query).err(), Some(name));
        }
    }
}
