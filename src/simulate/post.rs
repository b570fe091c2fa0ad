//! Events in TaskRouter's own forms: posted over HTTP as event callbacks or Event Streams, signed where a token says so.
//!
//! Each post is repeated until it is settled, as a call is; what an answer says is counted as a call's answer is.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Service as _, ServiceExt as _};

use crate::api::proto::v1::{Event, IngestEventsResponse, RejectedEvent, RejectionReason};
use crate::cli::client::Server;
use crate::cli::delivery::{Backoff, Receipt};
use crate::cli::failure::Failure;
use crate::cli::token::in_file;
use crate::limits;
use crate::taskrouter::answer::{self, CALLBACK_PATH, RefusedEvent, STREAM_PATH, Summary};
use crate::taskrouter::{callback, cloud, signature};

/// The longest answer that is read: more says no more.
const ANSWER_BYTES: usize = limits::MESSAGE_BYTES;

/// Posts events to one server.
#[derive(Clone)]
pub(super) struct Poster {
    pub server: Server,
    pub patience: Duration,
    /// Batches as Event Streams, rather than each event as a callback.
    pub is_stream: bool,
    /// Signs what is posted.
    pub signer: Option<Signer>,
}

/// What the sender of an account's events signs with.
#[derive(Clone)]
pub(super) struct Signer {
    pub token: Box<str>,
    /// Where the sender believes to post to.
    public_url: Box<str>,
}

impl Signer {
    /// # Errors
    /// The file cannot be read, or holds no token.
    pub fn read(file: &Path, public_url: &str) -> Result<Signer, Failure> {
        let token = in_file("--auth-token-file", file)?;
        Ok(Signer { token: token.into(), public_url: public_url.trim_end_matches('/').into() })
    }
}

/// One request, ready to be sent as often as it takes.
struct Post {
    path_and_query: String,
    content_type: &'static str,
    signature: Option<String>,
    body: Bytes,
}

/// What the server said.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Poster {
    /// Posts these events until they are settled: each for itself as a callback, or all at once as a stream's batch.
    ///
    /// # Errors
    /// The server takes none of them for a reason that no repetition changes, or none for as long as our patience lasts.
    pub async fn deliver(&self, events: Vec<Event>) -> Result<Receipt, Failure> {
        if self.is_stream {
            return self.settle(&self.stream(&events), &events).await;
        }
        let mut sum = Receipt { response: IngestEventsResponse::default(), retries: 0 };
        for event in events {
            let receipt = self.settle(&self.callback(&event), std::slice::from_ref(&event)).await?;
            sum.retries += receipt.retries;
            sum.response.accepted += receipt.response.accepted;
            sum.response.duplicates += receipt.response.duplicates;
            sum.response.rejected.extend(receipt.response.rejected);
        }
        Ok(sum)
    }

    fn callback(&self, event: &Event) -> Post {
        let pairs = callback::write(event);
        let url = |signer: &Signer| format!("{}{CALLBACK_PATH}", signer.public_url);
        Post {
            path_and_query: CALLBACK_PATH.to_owned(),
            content_type: "application/x-www-form-urlencoded",
            signature: self.signer.as_ref().map(|signer| signature::of_form(&signer.token, &url(signer), &pairs)),
            body: callback::encode(&pairs).into(),
        }
    }

    fn stream(&self, events: &[Event]) -> Post {
        let events: Vec<Value> = events.iter().map(cloud::write).collect();
        let body = Bytes::from(Value::Array(events).to_string());
        let content_type = "application/json";
        let Some(signer) = &self.signer else {
            return Post { path_and_query: STREAM_PATH.to_owned(), content_type, signature: None, body };
        };
        let path_and_query = signature::naming_body(STREAM_PATH, &body);
        let signature = signature::of_body(&signer.token, &format!("{}{path_and_query}", signer.public_url));
        Post { path_and_query, content_type, signature: Some(signature), body }
    }

    /// Sends one post until it is settled. `events` are those in it.
    async fn settle(&self, post: &Post, events: &[Event]) -> Result<Receipt, Failure> {
        let mut backoff = Backoff::new(self.patience);
        loop {
            let answer = match timeout(self.server.timeout(), self.send(post)).await {
                Ok(answer) => answer,
                Err(_) => Err(Status::deadline_exceeded("no answer within --timeout")),
            };
            match answer.and_then(|answer| answer.response(events)) {
                Ok(response) => return Ok(Receipt { response, retries: backoff.tries }),
                Err(status) => sleep(backoff.pause(status)?).await,
            }
        }
    }

    async fn send(&self, post: &Post) -> Result<Answer, Status> {
        let mut request = http::Request::post(&post.path_and_query).header(CONTENT_TYPE, post.content_type);
        if let Some(signature) = &post.signature {
            request = request.header("x-twilio-signature", signature);
        } else if let Some(token) = self.server.authorization() {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(tonic::body::Body::new(Full::new(post.body.clone())));
        let request = request.map_err(|error| Status::invalid_argument(error.to_string()))?;
        // The channel makes the connection, as for calls: TLS, keep-alive and all.
        let mut channel = self.server.channel();
        let ready = channel.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let answer = ready.call(request).await.map_err(|error| Status::from_error(error.into()))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(Status::from_error)?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

/// What an error says.
#[derive(Deserialize)]
struct Problem {
    message: String,
}

impl Answer {
    /// What became of the events; or why there is no telling, as the status that a call would have had.
    fn response(&self, events: &[Event]) -> Result<IngestEventsResponse, Status> {
        let outcome = self.headers.get(answer::OUTCOME).and_then(|outcome| outcome.to_str().ok());
        match (self.status, outcome, events) {
            (StatusCode::NO_CONTENT, Some(answer::DUPLICATE), _) => {
                Ok(IngestEventsResponse { duplicates: 1, ..IngestEventsResponse::default() })
            }
            (StatusCode::NO_CONTENT, _, _) => {
                Ok(IngestEventsResponse { accepted: 1, ..IngestEventsResponse::default() })
            }
            (_, Some(answer::REFUSED), [event]) => {
                let rejected = vec![refused_callback(event, self.message())];
                Ok(IngestEventsResponse { rejected, ..IngestEventsResponse::default() })
            }
            (StatusCode::OK, ..) => serde_json::from_slice(&self.body)
                .map(summed_up)
                .map_err(|error| Status::internal(format!("not the answer of a stream: {error}"))),
            _ => Err(self.failure()),
        }
    }

    fn message(&self) -> String {
        let said = serde_json::from_slice::<Problem>(&self.body).map(|problem| problem.message);
        said.unwrap_or_else(|_| format!("the server answered {}", self.status))
    }

    fn failure(&self) -> Status {
        let text = self.message();
        match self.status {
            StatusCode::UNAUTHORIZED => Status::unauthenticated(text),
            StatusCode::FORBIDDEN => Status::permission_denied(text),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let after = self.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                let after = Duration::from_secs(after.unwrap_or(1));
                Status::with_error_details(Code::Unavailable, text, ErrorDetails::with_retry_info(Some(after)))
            }
            status if status.is_server_error() => Status::unavailable(text),
            _ => Status::invalid_argument(text),
        }
    }
}

/// As a call's answer would have said it.
fn summed_up(summary: Summary) -> IngestEventsResponse {
    let Summary { accepted, duplicates, refused } = summary;
    let rejected = refused.into_iter().map(|RefusedEvent { index, sid, reason, field, message }| RejectedEvent {
        index: i32::try_from(index).unwrap_or(i32::MAX),
        event_sid: sid,
        reason: reason_named(&reason).into(),
        field,
        message,
    });
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    IngestEventsResponse {
        accepted: count(accepted),
        duplicates: count(duplicates),
        rejected: rejected.collect(),
        // Only gRPC tells it.
        revision: 0,
    }
}

fn refused_callback(event: &Event, message: String) -> RejectedEvent {
    let (reason, message) = match message.split_once(": ") {
        Some((reason, rest)) => (reason_named(reason), rest.to_owned()),
        None => (RejectionReason::Unspecified, message),
    };
    RejectedEvent { index: 0, event_sid: event.sid.clone(), reason: reason.into(), field: String::new(), message }
}

fn reason_named(name: &str) -> RejectionReason {
    RejectionReason::from_str_name(&format!("REJECTION_REASON_{name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: StatusCode, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn event() -> Event {
        Event { sid: "EV1".to_owned(), ..Event::default() }
    }

    #[test]
    fn an_answer_to_a_callback_says_what_became_of_its_event() {
        let told = |status, outcome, body| answer(status, &[(answer::OUTCOME, outcome)], body).response(&[event()]);
        let accepted = told(StatusCode::NO_CONTENT, answer::ACCEPTED, "").unwrap();
        assert_eq!((accepted.accepted, accepted.duplicates), (1, 0));
        let duplicate = told(StatusCode::NO_CONTENT, answer::DUPLICATE, "").unwrap();
        assert_eq!((duplicate.accepted, duplicate.duplicates), (0, 1));
        let body = r#"{"code":20001,"message":"TOO_OLD: timestamp is before","more_info":"","status":400}"#;
        let refused = told(StatusCode::BAD_REQUEST, answer::REFUSED, body).unwrap();
        let [rejected] = refused.rejected.as_slice() else { panic!("{refused:?}") };
        assert_eq!((rejected.event_sid.as_str(), rejected.reason()), ("EV1", RejectionReason::TooOld));
        assert_eq!(rejected.message, "timestamp is before");
    }

    #[test]
    fn an_answer_to_a_stream_tells_each_refused_event() {
        let refused = RefusedEvent {
            index: 1,
            sid: "EV2".to_owned(),
            reason: "ACCOUNT_MISMATCH".to_owned(),
            field: "account_sid".to_owned(),
            message: "another".to_owned(),
        };
        let summary = Summary { accepted: 3, duplicates: 2, refused: vec![refused] };
        let body = serde_json::to_string(&summary).unwrap();
        let response = answer(StatusCode::OK, &[], &body).response(&[event()]).unwrap();
        assert_eq!((response.accepted, response.duplicates), (3, 2));
        assert_eq!((response.rejected[0].index, response.rejected[0].reason()), (1, RejectionReason::AccountMismatch));
    }

    #[test]
    fn what_may_pass_is_tried_again_after_the_time_asked_for_and_what_will_not_is_told() {
        let busy = answer(StatusCode::SERVICE_UNAVAILABLE, &[("retry-after", "7")], "").response(&[]).unwrap_err();
        let asked = busy.get_details_retry_info().unwrap().retry_delay;
        assert_eq!((busy.code(), asked), (Code::Unavailable, Some(Duration::from_secs(7))));
        assert!(crate::cli::failure::may_pass(&busy));
        let body = r#"{"code":20403,"message":"the signature is wrong","more_info":"","status":403}"#;
        let wrong = answer(StatusCode::FORBIDDEN, &[], body).response(&[event()]).unwrap_err();
        assert_eq!((wrong.code(), wrong.message()), (Code::PermissionDenied, "the signature is wrong"));
        assert!(!crate::cli::failure::may_pass(&wrong));
        let elsewhere = answer(StatusCode::NOT_FOUND, &[], "<html>").response(&[event()]).unwrap_err();
        assert_eq!(elsewhere.message(), "the server answered 404 Not Found");
    }
}
