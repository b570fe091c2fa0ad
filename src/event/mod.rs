//! The vocabulary: what an event says, valid by construction.
//!
//! An [`Event`] states one fact about one workspace. Whoever holds one need not check it again: its ids have the
//! right prefix, its times are in range, and every field that its kind requires is there. Nothing in this room
//! reads a clock, does I/O or knows a wire format; the wire's own types end in `api/decode.rs`.

mod fact;
mod kind;
mod sid;
mod status;
mod time;

pub use fact::{Activity, Event, Name, Reservation, Task, Worker};
pub use kind::{Carried, EventKind};
pub use sid::{
    AccountSid, ActivitySid, ChannelSid, EventSid, MalformedSid, QueueSid, ReservationSid, Sid, TaskSid, WorkerSid,
    WorkflowSid, WorkspaceSid,
};
pub use status::TaskStatus;
pub use time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, Second, SecondRange};
