//! The task router's own forms of an event, read and written by one table of fields ([`field`]).
//!
//! There are three: the form-encoded [`callback`], the CloudEvents of Event Streams ([`cloud`]), and the Event resource of
//! the REST Events API ([`rest`]). Each is read into the contract's message, with what that cannot hold beside it, as a
//! [`Reading`]; [`judge`](judge()) says what becomes of it, by the very rules of gRPC ingest. [`signature`] tells whether
//! the task router sent a request.
//!
//! What holds here:
//! - No I/O and no clock: bytes in, values out.
//! - Reading takes memory for the fields of the table and the text that they have, whatever else a body holds.
//! - What is read where several ways lead to one meaning: a time as epoch seconds (milliseconds where the field's name
//!   says so) or ISO 8601, a number as a number or as text, a yes or no as `true` or as text. Anything else is refused,
//!   with the field as the sender spells it.
//! - A message that is written and read again in any form means the same, up to the digits that the form carries.

pub mod answer;
pub mod callback;
pub mod cloud;
mod field;
mod identity;
mod json;
mod judge;
pub mod rest;
pub mod signature;
#[cfg(test)]
mod tests;
mod value;

use crate::api::proto::v1;
use crate::event::{Carried, EventKind};
pub use judge::judge;

/// The three forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Callback,
    Stream,
    Rest,
}

/// An event as it was read, still to be judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub form: Form,
    /// Groups that the type does not carry are left out. A field with a fault holds a value that is none, so that it
    /// does not count as missing.
    pub event: v1::Event,
    /// In the order of the contract's fields.
    pub faults: Vec<Fault>,
    /// It is a well-formed event of something else than the task router.
    pub is_foreign: bool,
}

/// A value that the contract's message cannot hold, such as a time that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path within the contract's event: `task.date_created`.
    pub field: &'static str,
    /// Begins with the field as the form spells it.
    pub message: String,
}

/// Why a body, or an event in it, cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the value of {field} is not UTF-8")]
    TextNotUtf8 { field: String },
    #[error("byte {at}: a % that two hexadecimal digits do not follow")]
    Percent { at: usize },
    #[error("{field} comes twice")]
    Twice { field: &'static str },
    #[error("more than {most} form fields")]
    TooManyFields { most: usize },
    #[error("more than {most} events")]
    TooManyEvents { most: usize },
    #[error("not JSON: {0}")]
    NotJson(String),
    #[error("{what} is not an object")]
    NotAnObject { what: &'static str },
    #[error("the body is empty")]
    Empty,
}

impl Reading {
    /// Leaves out what the event's type does not carry, faults included.
    fn of(form: Form, mut event: v1::Event, mut faults: Vec<Fault>) -> Reading {
        let Carried { task, reservation, worker, activity } =
            EventKind::from_number(event.r#type).map_or(Carried::NOTHING, EventKind::carried);
        event.task = event.task.filter(|_| task);
        event.reservation = event.reservation.filter(|_| reservation);
        event.worker = event.worker.filter(|_| worker);
        event.activity = event.activity.filter(|_| activity);
        faults.retain(|fault| match fault.field.split_once('.').map(|(group, _)| group) {
            Some("task") => task,
            Some("reservation") => reservation,
            Some("worker") => worker,
            Some("activity") => activity,
            _ => true,
        });
        Reading { form, event, faults, is_foreign: false }
    }
}
