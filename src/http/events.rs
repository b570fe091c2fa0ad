//! Events as the task router sends them: one callback, or the CloudEvents of a stream.
//!
//! An answer says that every event is durable, or refused for good and kept as a dead letter. Whatever may be otherwise
//! a moment later is 503 with Retry-After, and the sender comes again.

use std::collections::BTreeSet;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};

use super::body::{self, Kind};
use super::problem::{Problem, problem};
use super::sender::{Refused, Sender};
use crate::api::decode::{self, Batch};
use crate::api::proto::v1::{IngestEventsResponse, RejectedEvent, RejectionReason};
use crate::api::status::{ApiError, cut};
use crate::api::{Api, encode, refusals};
use crate::event::{AccountSid, Event, EventKind};
use crate::letters::{Form, Letter, Reason};
use crate::limits;
use crate::pipeline::{Caller, Clock as _, Patience, SystemClock};
use crate::taskrouter::answer::{ACCEPTED, DUPLICATE, OUTCOME, REFUSED, RefusedEvent, Summary};
use crate::taskrouter::{Reading, Unreadable, callback, cloud, judge, signature};
use crate::trace;

const FORMS: &[&str] = &["application/x-www-form-urlencoded"];
const STREAMS: &[&str] = &[
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/x-ndjson",
    "application/ndjson",
];

/// `POST /v1/events/callback`: one event, form-encoded. 204 once it is durable.
pub async fn callback(State(api): State<Api>, request: Request) -> Response {
    match take_callback(&api, request).await {
        Ok(answer) => outcome(&answer),
        Err(refused) => refused.into_response(),
    }
}

/// `POST /v1/events/stream`: CloudEvents. 200 once every one is durable or refused for good.
pub async fn stream(State(api): State<Api>, request: Request) -> Response {
    match take_stream(&api, request).await {
        Ok(answer) => summary(&answer),
        Err(refused) => refused.into_response(),
    }
}

async fn take_callback(api: &Api, request: Request) -> Result<IngestEventsResponse, Refused> {
    let (parts, body) = request.into_parts();
    let sender = Sender::of(api, &parts);
    sender.expect()?;
    let kind = Kind { types: FORMS, most_bytes: limits::CALLBACK_BYTES.min(api.limits.max_message_bytes) };
    body::expect(&parts.headers, kind)?;
    let (body, mut charge) = body::read(&api.intake, &parts.headers, body, kind, sender.is_stranger()).await?;
    let decoding = trace::time("decode");
    let pairs = callback::pairs(&body).map_err(unreadable)?;
    let reading = callback::of_pairs(&pairs).map_err(unreadable)?;
    let account = AccountSid::parse(&reading.event.account_sid).ok();
    let is_signed = |token: &str, shown: &str| signature::is_of_form(token, &sender.url, &pairs, shown);
    let caller = sender.decide(account, is_signed)?;
    charge.is_known();
    let mut heard = Heard::default();
    heard.add(Ok(reading));
    decoding.done(&[("tasktally.events", 1), ("tasktally.bytes", body.len() as i64)]);
    let answer = settle(api, &caller, heard.batch).await?;
    keep(api, &caller, Form::Callback, &answer, |_| Some(&body)).await?;
    Ok(answer)
}

async fn take_stream(api: &Api, request: Request) -> Result<IngestEventsResponse, Refused> {
    let (parts, body) = request.into_parts();
    let sender = Sender::of(api, &parts);
    sender.expect()?;
    let kind = Kind { types: STREAMS, most_bytes: api.limits.max_message_bytes };
    body::expect(&parts.headers, kind)?;
    let (body, mut charge) = body::read(&api.intake, &parts.headers, body, kind, sender.is_stranger()).await?;
    let turn = api.intake.turn(body.len()).await;
    let decoding = trace::time("decode");
    sender.expect_signed(|url| signature::names_body(url, &body))?;
    let events = cloud::split(&body, api.limits.max_events).map_err(unreadable)?;
    let mut heard = Heard::default();
    events.iter().for_each(|event| heard.add(cloud::read(event.get())));
    let is_signed = |token: &str, shown: &str| signature::is_of_body(token, &sender.url, &body, shown);
    let caller = sender.decide(heard.accounts, is_signed)?;
    charge.is_known();
    decoding.done(&[("tasktally.events", events.len() as i64), ("tasktally.bytes", body.len() as i64)]);
    drop(turn);
    let answer = settle(api, &caller, heard.batch).await?;
    keep(api, &caller, Form::Stream, &answer, |index| events.get(index).map(|event| event.get().as_bytes())).await?;
    Ok(answer)
}

/// What was read of a request, still to be taken.
#[derive(Default)]
struct Heard {
    batch: Batch,
    accounts: BTreeSet<AccountSid>,
}

impl Heard {
    fn add(&mut self, read: Result<Reading, Unreadable>) {
        let Batch { events, refused, sids } = &mut self.batch;
        let index = sids.len();
        sids.push(read.as_ref().map_or("", |reading| &reading.event.sid));
        self.accounts.extend(read.as_ref().ok().and_then(|reading| AccountSid::parse(&reading.event.account_sid).ok()));
        match read.map_err(Into::into).and_then(judge) {
            Ok(event) => events.push((index, event)),
            Err(why) => refused.push((index, why)),
        }
    }
}

/// Takes the events, durably.
async fn settle(api: &Api, caller: &Caller, batch: Batch) -> Result<IngestEventsResponse, Problem> {
    let Batch { events, refused, sids } = batch;
    let untaken = |error| problem(ApiError::Ingest(error));
    let submitted = api.pipeline.submit(caller, events, Patience::Refuse).await.map_err(untaken)?;
    let ingested = submitted.settled().await.map_err(untaken)?;
    let answer = encode::ingested(&sids, refused, ingested);
    refusals::note(&answer.rejected);
    Ok(answer)
}

/// Keeps what was refused, durably, with its text.
async fn keep<'t>(
    api: &Api,
    caller: &Caller,
    form: Form,
    answer: &IngestEventsResponse,
    text: impl Fn(usize) -> Option<&'t [u8]>,
) -> Result<(), Problem> {
    let at = SystemClock.now();
    let letter = |rejected: &RejectedEvent| {
        let raw = text(usize::try_from(rejected.index).ok()?)?;
        let RejectedEvent { index: _, event_sid, reason, field, message } = rejected.clone();
        let event = read_again(form, raw);
        let event = event.map(|reading| reading.event).unwrap_or_default();
        let event_type = EventKind::from_number(event.r#type).map_or("", EventKind::name).to_owned();
        let workspace_sid = cut(&event.workspace_sid, limits::ECHOED_SID_BYTES).to_owned();
        let reason = Reason { number: reason, field, message };
        Some(Letter { scope: caller.scope, form, raw: raw.to_vec(), event_sid, event_type, workspace_sid, reason, at })
    };
    let letters = answer.rejected.iter().filter_map(letter).collect();
    api.letters.keep(letters).await.map_err(|error| problem(ApiError::Letters(error)))
}

/// How a dead letter is read when it is sent again: by the same code as when it came.
///
/// # Errors
/// Why the event is refused, before anything of the server's state is asked.
pub fn read_raw(form: Form, raw: &[u8]) -> Result<Event, decode::Refused> {
    judge(read_again(form, raw)?)
}

fn read_again(form: Form, raw: &[u8]) -> Result<Reading, Unreadable> {
    match form {
        Form::Callback => callback::read(raw),
        Form::Stream => std::str::from_utf8(raw).map_err(|_| Unreadable::NotUtf8).and_then(cloud::read),
    }
}

fn unreadable(why: Unreadable) -> Problem {
    problem(ApiError::NotTheMessage { cause: why.to_string() })
}

/// What the sender of a callback is told of its event.
fn outcome(answer: &IngestEventsResponse) -> Response {
    let (mut response, outcome) = match answer.rejected.first() {
        Some(rejected) => (refused(rejected).into_response(), REFUSED),
        None if answer.duplicates > 0 => (StatusCode::NO_CONTENT.into_response(), DUPLICATE),
        None => (StatusCode::NO_CONTENT.into_response(), ACCEPTED),
    };
    response.headers_mut().insert(HeaderName::from_static(OUTCOME), HeaderValue::from_static(outcome));
    response
}

fn refused(rejected: &RejectedEvent) -> Problem {
    let status = match rejected.reason() {
        RejectionReason::AccountMismatch => StatusCode::FORBIDDEN,
        RejectionReason::Unspecified
        | RejectionReason::MissingField
        | RejectionReason::MalformedField
        | RejectionReason::UnknownType
        | RejectionReason::TooOld
        | RejectionReason::TooNew
        | RejectionReason::LimitExceeded => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, format!("{}: {}", reason_name(rejected), rejected.message))
}

fn summary(answer: &IngestEventsResponse) -> Response {
    let IngestEventsResponse { accepted, duplicates, rejected, revision: _ } = answer;
    let [accepted, duplicates] = [*accepted, *duplicates].map(|count| u64::try_from(count).unwrap_or(0));
    let summary = Summary { accepted, duplicates, refused: rejected.iter().map(refused_event).collect() };
    let text = serde_json::to_vec(&summary).unwrap_or_default();
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], text).into_response()
}

fn refused_event(rejected: &RejectedEvent) -> RefusedEvent {
    let RejectedEvent { index, event_sid, reason: _, field, message } = rejected.clone();
    let (index, reason) = (u32::try_from(index).unwrap_or(u32::MAX), reason_name(rejected).to_owned());
    RefusedEvent { index, sid: event_sid, reason, field, message }
}

/// Without the prefix that all share.
fn reason_name(rejected: &RejectedEvent) -> &'static str {
    let name = rejected.reason().as_str_name();
    name.strip_prefix("REJECTION_REASON_").unwrap_or(name)
}
