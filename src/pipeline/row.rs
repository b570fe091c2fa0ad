//! How accepted events lie in a journal row, and how it is told that a workspace is forgotten.
//!
//! A row holds the events that one partition accepted into one group commit, and the moment of their admission, so
//! that replay need not ask a clock. Every field of every event is kept, whether a figure uses it today or not.
//! Ids and names that were written before in the same row are written as a back reference. A row of version 2 holds
//! no event: at its one position everything that was ever said of a workspace is forgotten.
//!
//! ```text
//! row   := 1:u8 admitted_at:int events:uint event*
//!        | 2:u8 forgotten_at:int kind:u8(0) workspace:16
//! event := kind:u8 groups:u8 sid:16 at:int(delta) account:id workspace:id [task] [reservation] [worker] [activity]
//! id    := 0 bytes:16 | n, the n-th id first written in this row
//! name  := 0 length:uint utf8 | n, likewise
//! uint  := LEB128; int := zig-zag LEB128
//! ```

use super::bytes::{Damaged, Reader, Writer};
use crate::event::{Activity, Event, EventKind, Millis, Reservation, Sid, Task, TaskStatus, Worker, WorkspaceSid};

/// The versions of a row: events, and what undoes them.
const EVENTS: u8 = 1;
const DECREE: u8 = 2;

/// The one kind of row of version 2.
const FORGET: u8 = 0;

/// What a row says at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events, and each is looked at once and let go")]
pub enum Entry {
    /// The event was accepted.
    Event(Event),
    /// Everything of the workspace is forgotten; what is said of it later begins it anew.
    Forget(WorkspaceSid),
}

/// Which groups follow, in `groups`.
const TASK: u8 = 1;
const RESERVATION: u8 = 2;
const WORKER: u8 = 4;
const ACTIVITY: u8 = 8;

/// The row of these events, accepted at `now`.
pub fn encode<'a>(events: impl IntoIterator<Item = &'a Event, IntoIter: Clone>, now: Millis) -> Vec<u8> {
    let events = events.into_iter();
    let count = events.clone().count();
    // An event by itself names some ten ids, one among others two or three that are new.
    let mut out = Writer::with_capacity(count * 96 + 16, count * 3 + 10);
    out.byte(EVENTS);
    out.int(now.0);
    out.uint(count as u64);
    let mut before = now.0;
    for event in events {
        write_event(&mut out, event, before);
        before = event.at.0;
    }
    out.into_bytes()
}

/// The row that forgets a workspace.
pub fn encode_forget(workspace: WorkspaceSid, now: Millis) -> Vec<u8> {
    let mut out = Writer::with_capacity(32, 0);
    out.byte(DECREE);
    out.int(now.0);
    out.byte(FORGET);
    out.raw(workspace.as_bytes());
    out.into_bytes()
}

/// Reads a row back: what it says at each of its positions in turn, with the moment of admission.
pub fn decode(row: &[u8], mut each: impl FnMut(Entry, Millis)) -> Result<(), Damaged> {
    let mut row = Reader::new(row);
    let version = row.byte()?;
    let now = moment(row.int()?)?;
    match version {
        EVENTS => {}
        DECREE if row.byte()? == FORGET => {
            each(Entry::Forget(Sid::from_bytes(row.raw()?)), now);
            return row.end();
        }
        DECREE => return Err(Damaged::Value("kind of row")),
        version => return Err(Damaged::Version(version)),
    }
    let events = row.uint()?;
    let mut before = now.0;
    for _ in 0..events {
        let event = read_event(&mut row, before)?;
        before = event.at.0;
        each(Entry::Event(event), now);
    }
    row.end()
}

fn write_event(out: &mut Writer, event: &Event, before: i64) {
    let Event { sid, kind, at, account, workspace, task, reservation, worker, activity } = event;
    out.byte(kind.number());
    let group = |present: bool, bit: u8| if present { bit } else { 0 };
    out.byte(
        group(task.is_some(), TASK)
            | group(reservation.is_some(), RESERVATION)
            | group(worker.is_some(), WORKER)
            | group(activity.is_some(), ACTIVITY),
    );
    out.raw(sid.as_bytes());
    out.int(at.0.wrapping_sub(before));
    out.id(account.as_bytes());
    out.id(workspace.as_bytes());
    if let Some(task) = task {
        write_task(out, task, *at);
    }
    if let Some(Reservation { sid, version }) = reservation {
        out.id(sid.as_bytes());
        out.int(*version);
    }
    if let Some(Worker { sid, name, activity_sid, activity_name, version }) = worker {
        out.id(sid.as_bytes());
        out.presence([name.is_some(), activity_sid.is_some(), activity_name.is_some()]);
        out.maybe_name(name);
        out.maybe_id(activity_sid.as_ref().map(Sid::as_bytes));
        out.maybe_name(activity_name);
        out.int(*version);
    }
    if let Some(Activity { sid, name, available }) = activity {
        out.id(sid.as_bytes());
        out.presence([name.is_some(), available.is_some(), *available == Some(true)]);
        out.maybe_name(name);
    }
}

fn write_task(out: &mut Writer, task: &Task, at: Millis) {
    let Task {
        sid,
        date_created,
        status,
        priority,
        channel_name,
        channel_sid,
        version,
        queue_sid,
        queue_name,
        queue_entered,
        workflow_sid,
        workflow_name,
    } = task;
    out.id(sid.as_bytes());
    out.presence([
        date_created.is_some(),
        channel_name.is_some(),
        channel_sid.is_some(),
        queue_sid.is_some(),
        queue_name.is_some(),
        queue_entered.is_some(),
        workflow_sid.is_some(),
        workflow_name.is_some(),
    ]);
    out.byte(status.map_or(0, |status| status as u8));
    out.int(i64::from(*priority));
    out.int(*version);
    out.maybe_int(date_created.map(|created| at.0.wrapping_sub(created.0)));
    out.maybe_name(channel_name);
    out.maybe_id(channel_sid.as_ref().map(Sid::as_bytes));
    out.maybe_id(queue_sid.as_ref().map(Sid::as_bytes));
    out.maybe_name(queue_name);
    out.maybe_int(queue_entered.map(|entered| at.0.wrapping_sub(entered.0)));
    out.maybe_id(workflow_sid.as_ref().map(Sid::as_bytes));
    out.maybe_name(workflow_name);
}

/// Only what an event can hold: the engine relies on it.
fn moment(ms: i64) -> Result<Millis, Damaged> {
    Millis::within(ms).ok_or(Damaged::Value("time"))
}

fn read_event(row: &mut Reader<'_>, before: i64) -> Result<Event, Damaged> {
    let kind = EventKind::from_number(i32::from(row.byte()?)).ok_or(Damaged::Value("kind"))?;
    let groups = row.byte()?;
    let sid = Sid::from_bytes(row.raw()?);
    let at = moment(before.wrapping_add(row.int()?))?;
    let account = Sid::from_bytes(row.id()?);
    let workspace = Sid::from_bytes(row.id()?);
    let has = |bit: u8| groups & bit != 0;
    Ok(Event {
        sid,
        kind,
        at,
        account,
        workspace,
        task: if has(TASK) { Some(read_task(row, at)?) } else { None },
        reservation: if has(RESERVATION) {
            Some(Reservation { sid: Sid::from_bytes(row.id()?), version: row.int()? })
        } else {
            None
        },
        worker: if has(WORKER) { Some(read_worker(row)?) } else { None },
        activity: if has(ACTIVITY) { Some(read_activity(row)?) } else { None },
    })
}

fn read_task(row: &mut Reader<'_>, at: Millis) -> Result<Task, Damaged> {
    let sid = Sid::from_bytes(row.id()?);
    let [created, channel_name, channel_sid, queue_sid, queue_name, queue_entered, workflow_sid, workflow_name] =
        row.presence()?;
    let status = match row.byte()? {
        0 => None,
        number => Some(TaskStatus::from_number(i32::from(number)).ok_or(Damaged::Value("status"))?),
    };
    let priority = i32::try_from(row.int()?).map_err(|_| Damaged::Value("priority"))?;
    let version = row.int()?;
    let ago = |ms: Option<i64>| ms.map(|ms| moment(at.0.wrapping_sub(ms))).transpose();
    Ok(Task {
        sid,
        status,
        priority,
        version,
        date_created: ago(row.maybe_int(created)?)?,
        channel_name: row.maybe_name(channel_name)?,
        channel_sid: row.maybe_id(channel_sid)?.map(Sid::from_bytes),
        queue_sid: row.maybe_id(queue_sid)?.map(Sid::from_bytes),
        queue_name: row.maybe_name(queue_name)?,
        queue_entered: ago(row.maybe_int(queue_entered)?)?,
        workflow_sid: row.maybe_id(workflow_sid)?.map(Sid::from_bytes),
        workflow_name: row.maybe_name(workflow_name)?,
    })
}

fn read_worker(row: &mut Reader<'_>) -> Result<Worker, Damaged> {
    let sid = Sid::from_bytes(row.id()?);
    let [name, activity_sid, activity_name, ..] = row.presence()?;
    Ok(Worker {
        sid,
        name: row.maybe_name(name)?,
        activity_sid: row.maybe_id(activity_sid)?.map(Sid::from_bytes),
        activity_name: row.maybe_name(activity_name)?,
        version: row.int()?,
    })
}

fn read_activity(row: &mut Reader<'_>) -> Result<Activity, Damaged> {
    let sid = Sid::from_bytes(row.id()?);
    let [name, stated, available, ..] = row.presence()?;
    Ok(Activity { sid, name: row.maybe_name(name)?, available: stated.then_some(available) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_event(n: u8) -> Event {
        Event {
            sid: Sid::from_bytes([n; 16]),
            kind: EventKind::ReservationAccepted,
            at: Millis(1_790_000_000_123 + i64::from(n)),
            account: Sid::from_bytes([1; 16]),
            workspace: Sid::from_bytes([2; 16]),
            task: Some(Task {
                sid: Sid::from_bytes([3; 16]),
                date_created: Some(Millis(1_789_999_999_000)),
                status: Some(TaskStatus::Assigned),
                priority: -7,
                channel_name: Some("voice".into()),
                channel_sid: Some(Sid::from_bytes([4; 16])),
                version: i64::MAX,
                queue_sid: Some(Sid::from_bytes([5; 16])),
                queue_name: Some("Support – Zürich".into()),
                queue_entered: Some(Millis::MIN),
                workflow_sid: Some(Sid::from_bytes([6; 16])),
                workflow_name: Some("voice".into()),
            }),
            reservation: Some(Reservation { sid: Sid::from_bytes([7; 16]), version: i64::MIN }),
            worker: Some(Worker {
                sid: Sid::from_bytes([8; 16]),
                name: Some("Ann".into()),
                activity_sid: Some(Sid::from_bytes([9; 16])),
                activity_name: Some("Available".into()),
                version: 3,
            }),
            activity: Some(Activity {
                sid: Sid::from_bytes([9; 16]),
                name: Some("Break".into()),
                available: Some(false),
            }),
        }
    }

    fn bare_event() -> Event {
        Event {
            kind: EventKind::WorkspaceUpdated,
            task: None,
            reservation: None,
            worker: None,
            activity: None,
            ..full_event(200)
        }
    }

    #[test]
    fn every_field_comes_back() {
        let now = Millis(1_790_000_001_000);
        let mut events = vec![bare_event(), full_event(10), full_event(11), bare_event()];
        if let Some(task) = &mut events[2].task {
            *task = Task {
                date_created: None,
                status: None,
                channel_name: None,
                channel_sid: None,
                queue_sid: None,
                queue_name: None,
                queue_entered: None,
                workflow_sid: None,
                workflow_name: None,
                ..task.clone()
            };
        }
        let row = encode(&events, now);
        let mut back = Vec::new();
        decode(&row, |event, admitted_at| {
            assert_eq!(admitted_at, now);
            back.push(event);
        })
        .unwrap();
        assert_eq!(back, events.iter().cloned().map(Entry::Event).collect::<Vec<_>>());
        let repeated = encode(&vec![full_event(10); 100], now).len() / 100;
        assert!(repeated <= 80, "{repeated} bytes an event although ids and names repeat");
    }

    #[test]
    fn what_forgets_a_workspace_comes_back() {
        let (workspace, now) = (WorkspaceSid::from_bytes([0xee; 16]), Millis(1_790_000_001_000));
        let mut back = Vec::new();
        decode(&encode_forget(workspace, now), |entry, at| back.push((entry, at))).unwrap();
        assert_eq!(back, [(Entry::Forget(workspace), now)]);
    }

    #[test]
    fn a_damaged_row_is_an_error_and_never_a_panic() {
        let events = encode(&[full_event(10), bare_event(), full_event(11)], Millis(5));
        for row in [events, encode_forget(WorkspaceSid::from_bytes([1; 16]), Millis(5))] {
            for cut in 0..row.len() {
                assert!(decode(&row[..cut], |_, _| {}).is_err(), "cut at {cut}");
            }
            for index in 0..row.len() {
                for bit in 0..8 {
                    let mut flipped = row.clone();
                    flipped[index] ^= 1 << bit;
                    let _ = decode(&flipped, |_, _| {});
                }
            }
            assert!(decode(&[&row[..], &[0]].concat(), |_, _| {}).is_err(), "longer than it says");
        }
        assert_eq!(decode(&[9, 0], |_, _| {}), Err(Damaged::Version(9)));
        assert_eq!(decode(&[2, 0, 1], |_, _| {}), Err(Damaged::Value("kind of row")));
    }
}
