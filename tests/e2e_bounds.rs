//! Each bound on what callers can make the server hold, over the wire: what is taken at its number, what is refused one
//! past it and with which name, that room comes back, and that what grows nothing is never refused.

#[path = "bounds/calls.rs"]
mod calls;
mod common;
#[path = "bounds/connections.rs"]
mod connections;
#[path = "bounds/growth.rs"]
mod growth;
#[path = "bounds/names.rs"]
mod names;
#[path = "bounds/space.rs"]
mod space;
#[path = "bounds/watchers.rs"]
mod watchers;

use common::details::{Told, assert_told};
use tasktally::api::proto::v1;
use tonic::{Code, Status};

/// That a call was refused by this bound.
#[track_caller]
fn assert_bound(status: &Status, code: Code, reason: &str, retry: bool, fields: &[&str], bound: (&str, usize)) -> Told {
    let told = assert_told(status, code, reason, retry, fields);
    assert_eq!((told.metadata("limit"), told.metadata("limit_value")), (bound.0, bound.1.to_string().as_str()));
    told
}

/// That all of a call was taken but this one event, which was refused by this bound.
#[track_caller]
fn assert_refused(answer: &v1::IngestEventsResponse, accepted: i64, index: i32, bound: (&str, usize)) {
    assert_eq!((answer.accepted, answer.duplicates, answer.rejected.len()), (accepted, 0, 1), "{answer:?}");
    let rejected = &answer.rejected[0];
    assert_eq!((rejected.index, rejected.reason()), (index, v1::RejectionReason::LimitExceeded), "{answer:?}");
    let told = format!("{} = {}", bound.0, bound.1);
    assert!(rejected.message.split([':', ',']).any(|part| part.contains(&told)), "{told} is not in {rejected:?}");
}
