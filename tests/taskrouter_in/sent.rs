//! Callbacks and streams, as bytes.

use tasktally::api::proto::v1;
use tasktally::taskrouter::{callback, cloud, signature};

use crate::common::web::{Answer, ask};

pub const FORM: &str = "content-type: application/x-www-form-urlencoded";
pub const JSON: &str = "content-type: application/json";
pub const CALLBACK: &str = "/v1/events/callback";
pub const STREAM: &str = "/v1/events/stream";

/// The body of the callback that tells of this event.
pub fn form(event: &v1::Event) -> String {
    callback::encode(&callback::write(event))
}

/// The body of the stream that tells of these events.
pub fn list(events: &[v1::Event]) -> String {
    serde_json::Value::from(events.iter().map(cloud::write).collect::<Vec<_>>()).to_string()
}

pub fn post(address: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let length = format!("content-length: {}", body.len());
    ask(address, &format!("POST {path} HTTP/1.1"), &[headers, &[&length]].concat(), body)
}

pub fn post_form(address: &str, headers: &[&str], body: &str) -> Answer {
    post(address, CALLBACK, &[headers, &[FORM]].concat(), body.as_bytes())
}

pub fn post_json(address: &str, headers: &[&str], body: &str) -> Answer {
    post(address, STREAM, &[headers, &[JSON]].concat(), body.as_bytes())
}

/// Signed with this token, for the URL that a server without a public one has.
pub fn post_signed_form(address: &str, token: &str, body: &str) -> Answer {
    let pairs = callback::pairs(body.as_bytes()).unwrap();
    let signature = signature::of_form(token, &format!("http://{address}{CALLBACK}"), &pairs);
    post_form(address, &[&format!("X-Twilio-Signature: {signature}")], body)
}

pub fn post_signed_json(address: &str, token: &str, body: &str) -> Answer {
    let url = signature::naming_body(&format!("http://{address}{STREAM}"), body.as_bytes());
    let signature = format!("X-Twilio-Signature: {}", signature::of_body(token, &url));
    let path = url.strip_prefix(&format!("http://{address}")).unwrap();
    post(address, path, &[JSON, &signature], body.as_bytes())
}

/// That a callback was taken.
#[track_caller]
pub fn assert_taken(answer: &Answer) {
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
}

/// What became of a stream's events: accepted, duplicates, refused.
#[track_caller]
pub fn tally(answer: &Answer) -> (u64, u64, Vec<serde_json::Value>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    let number = |name: &str| json[name].as_u64().unwrap();
    (number("accepted"), number("duplicates"), json["refused"].as_array().unwrap().clone())
}
