//! TaskRouter's Events API as far as an import sees it: pages, newest first, that shift when something new is there; and
//! everything that goes wrong with such an API, in the order in which a test asks for it.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use chrono::DateTime;
use http_body_util::StreamBody;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tasktally::api::proto::v1;
use tasktally::taskrouter::rest;
use tokio::net::TcpListener;

use super::common::events::ACCOUNT;

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The deepest that a list can be paged into, as an offset.
const DEEPEST: usize = 5_000;

/// What a request meets instead of a page.
#[derive(Clone, Debug)]
pub enum Fault {
    TooMany {
        retry_after: Option<&'static str>,
    },
    Broken,
    /// The connection ends in the middle of the answer.
    Cut,
    /// The answer begins and never ends.
    Stalled,
    /// A page that names its next one there.
    NextAt(String),
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    pub sid: String,
    pub start_s: i64,
    pub page: usize,
    pub status: u16,
}

#[derive(Default)]
struct Inner {
    /// By time, then in the order in which they became known.
    events: BTreeMap<(i64, usize), Value>,
    asked: Vec<Asked>,
    /// Of each of the next requests.
    faults: VecDeque<Option<Fault>>,
    /// Made known one after the other, each before a request is answered.
    arriving: VecDeque<v1::Event>,
}

#[derive(Clone)]
pub struct Source {
    pub url: String,
    inner: Arc<Mutex<Inner>>,
}

type Answer = Response<BoxBody<Bytes, io::Error>>;

impl Source {
    pub async fn start() -> Source {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let source = Source { url, inner: Arc::default() };
        let serving = source.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let source = serving.clone();
                let service = service_fn(move |request| {
                    let answer = source.answer(&request);
                    async move { Ok::<Answer, Infallible>(answer) }
                });
                // A client that goes in the middle is none of our trouble.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        source
    }

    pub fn know(&self, events: impl IntoIterator<Item = v1::Event>) {
        let mut inner = self.inner.lock().unwrap();
        events.into_iter().for_each(|event| inner.know(rest::write(&event)));
    }

    /// A resource as it is, whatever it is.
    pub fn know_resource(&self, resource: Value) {
        self.inner.lock().unwrap().know(resource);
    }

    pub fn arrive(&self, events: impl IntoIterator<Item = v1::Event>) {
        self.inner.lock().unwrap().arriving.extend(events);
    }

    pub fn still_arriving(&self) -> usize {
        self.inner.lock().unwrap().arriving.len()
    }

    /// The next requests meet these, one after the other.
    pub fn go_wrong(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().unwrap().faults.extend(faults.into_iter().map(Some));
    }

    /// Every other one of the next requests meets one of these.
    pub fn go_wrong_now_and_then(&self, faults: impl IntoIterator<Item = Fault>) {
        self.inner.lock().unwrap().faults.extend(faults.into_iter().flat_map(|fault| [None, Some(fault)]));
    }

    /// What was asked since this was asked last.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inner.lock().unwrap().asked)
    }

    pub fn requests(&self) -> usize {
        self.inner.lock().unwrap().asked.len()
    }

    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let mut inner = self.inner.lock().unwrap();
        if let Some(event) = inner.arriving.pop_front() {
            inner.know(rest::write(&event));
        }
        let (answer, sid, start_s, page) = match Query::of(request) {
            Err((status, code, message)) => (error(status, code, message), String::new(), 0, 0),
            Ok(query) => {
                let fault = inner.faults.pop_front().flatten();
                (inner.page(&query, &self.url, fault), query.workspace, query.start_s, query.page)
            }
        };
        let status = answer.status().as_u16();
        inner.asked.push(Asked { at: Instant::now(), sid, start_s, page, status });
        answer
    }
}

impl Inner {
    fn know(&mut self, resource: Value) {
        let at = resource["event_date_ms"].as_i64().expect("a resource has a time");
        let number = self.events.len();
        self.events.insert((at, number), resource);
    }

    fn page(&self, query: &Query, base: &str, fault: Option<Fault>) -> Answer {
        let is_inside = |event: &&Value| {
            let at = event["event_date_ms"].as_i64().unwrap();
            event["workspace_sid"] == query.workspace.as_str() && query.start_s * 1000 <= at && at <= query.end_s * 1000
        };
        let found: Vec<&Value> = self.events.values().rev().filter(is_inside).collect();
        let from = query.page * query.size;
        if from > DEEPEST {
            return error(400, 20001, "Page is too deep");
        }
        let events: Vec<&Value> = found.iter().skip(from).take(query.size).copied().collect();
        let url = |page: usize| {
            let Query { workspace, start, end, size, .. } = query;
            let token = if page == 0 { String::new() } else { format!("&PageToken=PT{page}") };
            format!(
                "{base}/v1/Workspaces/{workspace}/Events?StartDate={start}&EndDate={end}&PageSize={size}&Page={page}{token}"
            )
        };
        let next = (from + query.size < found.len()).then(|| url(query.page + 1));
        let next = if let Some(Fault::NextAt(elsewhere)) = &fault { Some(elsewhere.clone()) } else { next };
        let body = json!({
            "events": events,
            "meta": {
                "page": query.page,
                "page_size": query.size,
                "first_page_url": url(0),
                "previous_page_url": query.page.checked_sub(1).map(url),
                "url": url(query.page),
                "next_page_url": next,
                "key": "events",
            },
        });
        let body = Bytes::from(body.to_string());
        match fault {
            None | Some(Fault::NextAt(_)) => whole(StatusCode::OK, body),
            Some(Fault::Broken) => error(500, 20500, "Internal Server Error"),
            Some(Fault::TooMany { retry_after }) => {
                let mut answer = error(429, 20429, "Too Many Requests");
                if let Some(text) = retry_after {
                    answer.headers_mut().insert("retry-after", text.parse().unwrap());
                }
                answer
            }
            Some(Fault::Cut) => begun(body, tokio_stream::once(Err(io::ErrorKind::ConnectionReset.into()))),
            Some(Fault::Stalled) => begun(body, tokio_stream::pending()),
        }
    }
}

struct Query {
    workspace: String,
    /// As they were asked for.
    start: String,
    end: String,
    start_s: i64,
    end_s: i64,
    size: usize,
    page: usize,
}

impl Query {
    fn of(request: &Request<Incoming>) -> Result<Query, (u16, i64, &'static str)> {
        let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("{ACCOUNT}:{TOKEN}")));
        if request.headers().get(AUTHORIZATION).is_none_or(|shown| shown.as_bytes() != expected.as_bytes()) {
            return Err((401, 20003, "Authenticate"));
        }
        let path: Vec<&str> = request.uri().path().split('/').collect();
        let ["", "v1", "Workspaces", workspace, "Events"] = path[..] else { return Err((404, 20404, "Not found")) };
        if workspace.ends_with("ffff") {
            return Err((404, 20404, "The requested resource was not found"));
        }
        let query = request.uri().query().unwrap_or_default();
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let second = |name| {
            let text = value(name).map(|text| text.replace("%3A", ":"))?;
            Some(DateTime::parse_from_rfc3339(&text).ok()?.timestamp())
        };
        let size =
            value("PageSize").map_or(Some(50), |text| text.parse().ok()).filter(|size| (1..=1000).contains(size));
        let page = value("Page").map_or(Some(0), |text| text.parse().ok());
        let read = || {
            Some(Query {
                workspace: workspace.to_owned(),
                start: value("StartDate")?.to_owned(),
                end: value("EndDate")?.to_owned(),
                start_s: second("StartDate")?,
                end_s: second("EndDate")?,
                size: size?,
                page: page?,
            })
        };
        read().ok_or((400, 20001, "Invalid parameter"))
    }
}

fn whole(status: StatusCode, body: Bytes) -> Answer {
    let body = Full::new(body).map_err(|never| match never {}).boxed();
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}

fn error(status: u16, code: i64, message: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    let body = json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status.as_u16(),
    });
    whole(status, Bytes::from(body.to_string()))
}

/// The first half of a body, and then what comes.
fn begun(
    body: Bytes,
    rest: impl tokio_stream::Stream<Item = Result<Frame<Bytes>, io::Error>> + Send + Sync + 'static,
) -> Answer {
    use tokio_stream::StreamExt as _;
    let half = body.slice(..body.len() / 2);
    let body = StreamBody::new(tokio_stream::once(Ok(Frame::data(half))).chain(rest));
    Response::new(BoxBody::new(body))
}
