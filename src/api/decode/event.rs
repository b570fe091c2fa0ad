//! From the wire's event to the vocabulary's, or to the reason for refusing it.
//!
//! The reasons come in a fixed order: what is missing, then what is malformed, then an unknown type, each by the order
//! of the contract's fields. So presence is looked at first, over all that the type requires; what is present is read
//! after that, in order, up to the first field that cannot be. Age, account and limits are the pipeline's to judge.

use bytes::Bytes;
use prost_types::Timestamp;

use super::wire::{self, NotTheMessage, Text};
use super::{MALFORMED_TIMESTAMP, moment};
use crate::api::proto::v1::RejectionReason;
use crate::event::{
    Activity, Carried, Event, EventKind, MalformedSid, Millis, Name, Reservation, Sid, Task, TaskStatus, Worker,
    WorkspaceSid,
};

/// An event that cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub reason: RejectionReason,
    /// Path within the event: `task.date_created`.
    pub field: &'static str,
    pub message: String,
}

/// The events of one request, each with its index in it.
#[derive(Debug, Default)]
pub struct Batch {
    /// What goes on to the pipeline, by ascending index.
    pub events: Vec<(u32, Event)>,
    /// What does not, by ascending index.
    pub refused: Vec<(u32, Refused)>,
    /// The sid of each event as it was sent, to be echoed should it be refused.
    pub sids: Sids,
}

/// Texts by index, in one piece.
#[derive(Debug, Default)]
pub struct Sids {
    /// Each of them UTF-8.
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Sids {
    fn with_capacity(sids: usize) -> Sids {
        Sids { text: Vec::with_capacity(sids * Sid::<0, 0>::TEXT_LEN), ends: Vec::with_capacity(sids) }
    }

    pub fn push(&mut self, sid: &str) {
        self.add(sid.into());
    }

    fn add(&mut self, sid: Text<'_>) {
        self.text.extend_from_slice(sid.as_bytes());
        self.ends.push(self.text.len());
    }

    /// How many there are, which is the index of the next.
    pub fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Empty past the last one.
    pub fn get(&self, index: u32) -> &str {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.ends.get(index - 1).copied().unwrap_or(0) };
        let text = self.ends.get(index).map_or(&[][..], |end| &self.text[start..*end]);
        std::str::from_utf8(text).unwrap_or_default()
    }
}

/// Why no event of a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    NotTheMessage(NotTheMessage),
    TooMany { sent: usize },
}

/// Reads the events of one encoded request. They are counted before room is made for them: two bytes on the wire can
/// stand for an event, which takes some hundreds in memory.
pub fn batch(request: &Bytes, most: usize) -> Result<Batch, Unread> {
    let sent = count(request, most)?;
    let mut batch = Batch { events: Vec::with_capacity(sent), refused: Vec::new(), sids: Sids::with_capacity(sent) };
    for (index, encoded) in (0..).zip(wire::events(request)) {
        let mut message = wire::Event::default();
        encoded.and_then(|encoded| wire::read_event(&mut message, encoded)).map_err(Unread::NotTheMessage)?;
        batch.sids.add(message.sid);
        match numbered(index, &message) {
            Ok(event) => batch.events.push(event),
            Err(refused) => batch.refused.push((index, refused)),
        }
    }
    Ok(batch)
}

fn count(request: &Bytes, most: usize) -> Result<usize, Unread> {
    let mut sent = 0;
    for encoded in wire::events(request) {
        encoded.map_err(Unread::NotTheMessage)?;
        sent += 1;
    }
    if sent > most { Err(Unread::TooMany { sent }) } else { Ok(sent) }
}

/// What can be told of a request without reading it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    pub events: usize,
    /// Of the first event and of the last.
    pub workspaces: [WorkspaceSid; 2],
}

/// `None` where there is no event, or the first or the last is not one.
pub fn outline(request: &Bytes, most: usize) -> Result<Option<Outline>, Unread> {
    let events = count(request, most)?;
    let workspace_of = |encoded| {
        let message = wire::event(encoded).ok()?;
        WorkspaceSid::read(message.workspace_sid.as_bytes()).ok()
    };
    let mut encoded = wire::events(request).filter_map(Result::ok);
    let (Some(first), last) = (encoded.next(), encoded.last()) else { return Ok(None) };
    let workspaces = workspace_of(first).zip(workspace_of(last.unwrap_or(first)));
    Ok(workspaces.map(|(first, last)| Outline { events, workspaces: [first, last] }))
}

/// Reads one event.
pub fn event(message: &wire::Event<'_>) -> Result<Event, Refused> {
    numbered(0, message).map(|(_, event)| event)
}

/// With its index beside it from the first: it is large to be put there.
fn numbered(index: u32, message: &wire::Event<'_>) -> Result<(u32, Event), Refused> {
    let kind = EventKind::from_number(message.kind);
    let carried = kind.map_or(Carried::NOTHING, EventKind::carried);
    if let Some(field) = first_missing(message, kind, carried) {
        return Err(missing(field));
    }
    let wire::Event { sid, kind: number, timestamp, account_sid, workspace_sid, task, reservation, worker, activity } =
        message;
    let sid = required_sid("sid", sid)?;
    let at = time("timestamp", *timestamp)?.ok_or_else(|| missing("timestamp"))?;
    let account = required_sid("account_sid", account_sid)?;
    let workspace = required_sid("workspace_sid", workspace_sid)?;
    let task = task.as_ref().filter(|_| carried.task).map(read_task).transpose()?;
    let reservation = reservation.as_ref().filter(|_| carried.reservation).map(read_reservation).transpose()?;
    let worker = worker.as_ref().filter(|_| carried.worker).map(read_worker).transpose()?.flatten();
    let activity = activity.as_ref().filter(|_| carried.activity).map(read_activity).transpose()?;
    let kind = kind.ok_or_else(|| unknown_type(*number))?;
    Ok((index, Event { sid, kind, at, account, workspace, task, reservation, worker, activity }))
}

/// The first field that the event's type requires and the event does not have.
fn first_missing(message: &wire::Event<'_>, kind: Option<EventKind>, carried: Carried) -> Option<&'static str> {
    if message.sid.is_empty() {
        Some("sid")
    } else if message.kind == 0 {
        Some("type")
    } else if message.timestamp.is_none() {
        Some("timestamp")
    } else if message.account_sid.is_empty() {
        Some("account_sid")
    } else if message.workspace_sid.is_empty() {
        Some("workspace_sid")
    } else {
        let kind = kind?;
        (carried.task.then(|| missing_of_task(message.task.as_ref(), kind)).flatten())
            .or_else(|| carried.reservation.then(|| missing_of_reservation(message.reservation.as_ref())).flatten())
            .or_else(|| carried.worker.then(|| missing_of_worker(message.worker.as_ref(), kind)).flatten())
            .or_else(|| carried.activity.then(|| missing_of_activity(message.activity.as_ref(), kind)).flatten())
    }
}

fn missing_of_task(task: Option<&wire::Task<'_>>, kind: EventKind) -> Option<&'static str> {
    let Some(task) = task.filter(|task| !task.sid.is_empty()) else { return Some("task.sid") };
    if kind.deletes_task() {
        None
    } else if task.date_created.is_none() {
        Some("task.date_created")
    } else if task.assignment_status == 0 {
        Some("task.assignment_status")
    } else if task.task_channel_unique_name.is_empty() {
        Some("task.task_channel_unique_name")
    } else {
        None
    }
}

fn missing_of_reservation(reservation: Option<&wire::Reservation<'_>>) -> Option<&'static str> {
    reservation.is_none_or(|reservation| reservation.sid.is_empty()).then_some("reservation.sid")
}

fn missing_of_worker(worker: Option<&wire::Worker<'_>>, kind: EventKind) -> Option<&'static str> {
    let states_activity = matches!(kind, EventKind::WorkerCreated | EventKind::WorkerActivityUpdate);
    if !states_activity && kind != EventKind::WorkerDeleted {
        None
    } else if worker.is_none_or(|worker| worker.sid.is_empty()) {
        Some("worker.sid")
    } else if states_activity && worker.is_none_or(|worker| worker.activity_sid.is_empty()) {
        Some("worker.activity_sid")
    } else {
        None
    }
}

fn missing_of_activity(activity: Option<&wire::Activity<'_>>, kind: EventKind) -> Option<&'static str> {
    if activity.is_none_or(|activity| activity.sid.is_empty()) {
        Some("activity.sid")
    } else if kind != EventKind::ActivityDeleted && activity.is_none_or(|activity| activity.friendly_name.is_empty()) {
        Some("activity.friendly_name")
    } else {
        None
    }
}

fn read_task(task: &wire::Task<'_>) -> Result<Task, Refused> {
    let wire::Task {
        sid,
        date_created,
        assignment_status,
        priority,
        task_channel_unique_name,
        task_channel_sid,
        version,
        task_queue_sid,
        task_queue_name,
        task_queue_entered_date,
        workflow_sid,
        workflow_name,
    } = task;
    Ok(Task {
        sid: required_sid("task.sid", sid)?,
        date_created: time("task.date_created", *date_created)?,
        status: status("task.assignment_status", *assignment_status)?,
        priority: *priority,
        channel_name: name(task_channel_unique_name),
        channel_sid: optional_sid("task.task_channel_sid", task_channel_sid)?,
        version: *version,
        queue_sid: optional_sid("task.task_queue_sid", task_queue_sid)?,
        queue_name: name(task_queue_name),
        queue_entered: time("task.task_queue_entered_date", *task_queue_entered_date)?,
        workflow_sid: optional_sid("task.workflow_sid", workflow_sid)?,
        workflow_name: name(workflow_name),
    })
}

fn read_reservation(reservation: &wire::Reservation<'_>) -> Result<Reservation, Refused> {
    let wire::Reservation { sid, version } = reservation;
    Ok(Reservation { sid: required_sid("reservation.sid", sid)?, version: *version })
}

/// `None` for a worker without a sid: where none is required, such a group names no worker.
fn read_worker(worker: &wire::Worker<'_>) -> Result<Option<Worker>, Refused> {
    let wire::Worker { sid, friendly_name, activity_sid, activity_name, version } = worker;
    let sid = optional_sid("worker.sid", sid)?;
    let activity_sid = optional_sid("worker.activity_sid", activity_sid)?;
    let (friendly_name, activity_name) = (name(friendly_name), name(activity_name));
    Ok(sid.map(|sid| Worker { sid, name: friendly_name, activity_sid, activity_name, version: *version }))
}

fn read_activity(activity: &wire::Activity<'_>) -> Result<Activity, Refused> {
    let wire::Activity { sid, friendly_name, available } = activity;
    Ok(Activity { sid: required_sid("activity.sid", sid)?, name: name(friendly_name), available: *available })
}

fn required_sid<const A: u8, const B: u8>(field: &'static str, text: &Text<'_>) -> Result<Sid<A, B>, Refused> {
    Sid::read(text.as_bytes()).map_err(|error: MalformedSid| malformed(field, error.to_string()))
}

fn optional_sid<const A: u8, const B: u8>(field: &'static str, text: &Text<'_>) -> Result<Option<Sid<A, B>>, Refused> {
    if text.is_empty() { Ok(None) } else { required_sid(field, text).map(Some) }
}

fn time(field: &'static str, timestamp: Option<Timestamp>) -> Result<Option<Millis>, Refused> {
    let read = |timestamp| moment(&timestamp).ok_or_else(|| malformed(field, MALFORMED_TIMESTAMP.to_owned()));
    timestamp.map(read).transpose()
}

fn status(field: &'static str, number: i32) -> Result<Option<TaskStatus>, Refused> {
    match TaskStatus::from_number(number) {
        Some(status) => Ok(Some(status)),
        None if number == 0 => Ok(None),
        None => Err(malformed(field, format!("{number} is not a status of a task"))),
    }
}

fn name(text: &str) -> Option<Name> {
    (!text.is_empty()).then(|| Name::new(text))
}

fn missing(field: &'static str) -> Refused {
    Refused { reason: RejectionReason::MissingField, field, message: format!("{field} is required") }
}

fn malformed(field: &'static str, why: String) -> Refused {
    Refused { reason: RejectionReason::MalformedField, field, message: format!("{field}: {why}") }
}

fn unknown_type(number: i32) -> Refused {
    let message = format!("{number} is not a type of event that this version knows");
    Refused { reason: RejectionReason::UnknownType, field: "type", message }
}
