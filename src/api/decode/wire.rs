//! The ingest request off the wire, without a copy: an event here is a view of the request's bytes, since what its sids
//! and names become in the end is not text or is kept elsewhere.
//!
//! Reads exactly what the generated types read, as `tests/wire.rs` shows: of a field that comes twice the last counts,
//! groups that come twice are merged, unknown fields are skipped, and every text is UTF-8.

use prost_types::Timestamp;

/// The bytes are not the message, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTheMessage {
    #[error("it ends within a field")]
    Short,
    #[error("a number is longer than 64 bits")]
    Number,
    #[error("no field can have the key {0}")]
    Key(u64),
    #[error("{0} is not of the type that the contract gives it")]
    Type(&'static str),
    #[error("{0} is not UTF-8")]
    Text(&'static str),
    #[error("a group ends that did not begin, or does not end, or lies too deep")]
    Group,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event<'a> {
    pub sid: &'a str,
    pub kind: i32,
    pub timestamp: Option<Timestamp>,
    pub account_sid: &'a str,
    pub workspace_sid: &'a str,
    pub task: Option<Task<'a>>,
    pub reservation: Option<Reservation<'a>>,
    pub worker: Option<Worker<'a>>,
    pub activity: Option<Activity<'a>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task<'a> {
    pub sid: &'a str,
    pub date_created: Option<Timestamp>,
    pub assignment_status: i32,
    pub priority: i32,
    pub task_channel_unique_name: &'a str,
    pub task_channel_sid: &'a str,
    pub version: i64,
    pub task_queue_sid: &'a str,
    pub task_queue_name: &'a str,
    pub task_queue_entered_date: Option<Timestamp>,
    pub workflow_sid: &'a str,
    pub workflow_name: &'a str,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reservation<'a> {
    pub sid: &'a str,
    pub version: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker<'a> {
    pub sid: &'a str,
    pub friendly_name: &'a str,
    pub activity_sid: &'a str,
    pub activity_name: &'a str,
    pub version: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity<'a> {
    pub sid: &'a str,
    pub friendly_name: &'a str,
    pub available: Option<bool>,
}

/// The encoded events of an encoded request, in order.
pub fn events(request: &[u8]) -> impl Iterator<Item = Result<&[u8], NotTheMessage>> {
    let mut fields = Fields(request);
    std::iter::from_fn(move || {
        loop {
            match fields.next() {
                Ok(Some((1, value))) => return Some(value.bytes("events")),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    fields = Fields(&[]);
                    return Some(Err(error));
                }
            }
        }
    })
}

/// Reads one event.
pub fn event(encoded: &[u8]) -> Result<Event<'_>, NotTheMessage> {
    let mut event = Event::default();
    let mut fields = Fields(encoded);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => event.sid = value.text("sid")?,
            2 => event.kind = value.int("type")? as i32,
            3 => read_time(event.timestamp.get_or_insert_default(), value.bytes("timestamp")?)?,
            4 => event.account_sid = value.text("account_sid")?,
            5 => event.workspace_sid = value.text("workspace_sid")?,
            6 => read_task(event.task.get_or_insert_default(), value.bytes("task")?)?,
            7 => read_reservation(event.reservation.get_or_insert_default(), value.bytes("reservation")?)?,
            8 => read_worker(event.worker.get_or_insert_default(), value.bytes("worker")?)?,
            9 => read_activity(event.activity.get_or_insert_default(), value.bytes("activity")?)?,
            _ => {}
        }
    }
    Ok(event)
}

fn read_task<'a>(task: &mut Task<'a>, encoded: &'a [u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => task.sid = value.text("task.sid")?,
            2 => read_time(task.date_created.get_or_insert_default(), value.bytes("task.date_created")?)?,
            3 => task.assignment_status = value.int("task.assignment_status")? as i32,
            4 => task.priority = value.int("task.priority")? as i32,
            5 => task.task_channel_unique_name = value.text("task.task_channel_unique_name")?,
            6 => task.task_channel_sid = value.text("task.task_channel_sid")?,
            7 => task.version = value.int("task.version")? as i64,
            8 => task.task_queue_sid = value.text("task.task_queue_sid")?,
            9 => task.task_queue_name = value.text("task.task_queue_name")?,
            10 => {
                let encoded = value.bytes("task.task_queue_entered_date")?;
                read_time(task.task_queue_entered_date.get_or_insert_default(), encoded)?;
            }
            11 => task.workflow_sid = value.text("task.workflow_sid")?,
            12 => task.workflow_name = value.text("task.workflow_name")?,
            _ => {}
        }
    }
    Ok(())
}

fn read_reservation<'a>(reservation: &mut Reservation<'a>, encoded: &'a [u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => reservation.sid = value.text("reservation.sid")?,
            2 => reservation.version = value.int("reservation.version")? as i64,
            _ => {}
        }
    }
    Ok(())
}

fn read_worker<'a>(worker: &mut Worker<'a>, encoded: &'a [u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => worker.sid = value.text("worker.sid")?,
            2 => worker.friendly_name = value.text("worker.friendly_name")?,
            3 => worker.activity_sid = value.text("worker.activity_sid")?,
            4 => worker.activity_name = value.text("worker.activity_name")?,
            5 => worker.version = value.int("worker.version")? as i64,
            _ => {}
        }
    }
    Ok(())
}

fn read_activity<'a>(activity: &mut Activity<'a>, encoded: &'a [u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => activity.sid = value.text("activity.sid")?,
            2 => activity.friendly_name = value.text("activity.friendly_name")?,
            3 => activity.available = Some(value.int("activity.available")? != 0),
            _ => {}
        }
    }
    Ok(())
}

fn read_time(time: &mut Timestamp, encoded: &[u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => time.seconds = value.int("seconds")? as i64,
            2 => time.nanos = value.int("nanos")? as i32,
            _ => {}
        }
    }
    Ok(())
}

/// What is left of a message's fields.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Int(u64),
    Bytes(&'a [u8]),
    /// Of a wire type that no field of ours has; skipped already.
    Other,
}

/// How deep groups may lie in each other, as the generated types have it.
const DEEPEST_GROUP: usize = 100;

impl<'a> Fields<'a> {
    #[inline]
    fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, NotTheMessage> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (tag, wire_type) = self.key()?;
        let value = match wire_type {
            0 => Value::Int(self.varint()?),
            2 => Value::Bytes(self.prefixed()?),
            other => {
                self.skip(tag, other)?;
                Value::Other
            }
        };
        Ok(Some((tag, value)))
    }

    #[inline]
    fn key(&mut self) -> Result<(u32, u8), NotTheMessage> {
        let key = self.varint()?;
        match u32::try_from(key) {
            Ok(short) if short >= 8 => Ok((short >> 3, (short & 7) as u8)),
            _ => Err(NotTheMessage::Key(key)),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, NotTheMessage> {
        match self.0 {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, NotTheMessage> {
        let mut value = 0;
        for (index, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index == 9 && *byte > 1 {
                    return Err(NotTheMessage::Number);
                }
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.0.len() < 10 { NotTheMessage::Short } else { NotTheMessage::Number })
    }

    #[inline]
    fn prefixed(&mut self) -> Result<&'a [u8], NotTheMessage> {
        let length = self.varint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    #[inline]
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], NotTheMessage> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(NotTheMessage::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads over the value of a field that is not known. Groups are of an older age of the wire, but legal.
    #[cold]
    fn skip(&mut self, tag: u32, wire_type: u8) -> Result<(), NotTheMessage> {
        let mut open: Vec<u32> = Vec::new();
        let (mut tag, mut wire_type) = (tag, wire_type);
        loop {
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => drop(self.prefixed()?),
                3 if open.len() < DEEPEST_GROUP => open.push(tag),
                4 if open.last() == Some(&tag) => drop(open.pop()),
                5 => drop(self.take(4)?),
                3 | 4 => return Err(NotTheMessage::Group),
                _ => return Err(NotTheMessage::Key(u64::from(tag) << 3 | u64::from(wire_type))),
            }
            if open.is_empty() {
                return Ok(());
            }
            (tag, wire_type) = self.key()?;
        }
    }
}

impl<'a> Value<'a> {
    #[inline]
    fn int(self, field: &'static str) -> Result<u64, NotTheMessage> {
        match self {
            Value::Int(int) => Ok(int),
            Value::Bytes(_) | Value::Other => Err(NotTheMessage::Type(field)),
        }
    }

    #[inline]
    fn bytes(self, field: &'static str) -> Result<&'a [u8], NotTheMessage> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Int(_) | Value::Other => Err(NotTheMessage::Type(field)),
        }
    }

    #[inline]
    fn text(self, field: &'static str) -> Result<&'a str, NotTheMessage> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| NotTheMessage::Text(field))
    }
}
