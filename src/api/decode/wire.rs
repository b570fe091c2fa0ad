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
    #[error("field {tag} of {of} is not of the type that the contract gives it")]
    Type { of: &'static str, tag: u32 },
    #[error("{0} is not UTF-8")]
    Text(&'static str),
    #[error("a group ends that did not begin, or does not end, or lies too deep")]
    Group,
}

/// A text that is mostly a sid, and so is read as bytes: known to be UTF-8, but not by the compiler.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// `None` for what is not UTF-8.
    #[inline]
    fn of(bytes: &'a [u8]) -> Option<Text<'a>> {
        // A sid has nothing but ASCII, which is told far faster.
        let (words, rest) = bytes.as_chunks();
        let bits = words.iter().fold(0, |bits, word| bits | u64::from_le_bytes(*word));
        let is_ascii = bits & CONTINUED == 0 && rest.is_ascii();
        (is_ascii || std::str::from_utf8(bytes).is_ok()).then_some(Text(bytes))
    }

    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_str(&self) -> &'a str {
        std::str::from_utf8(self.0).unwrap_or_default()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        Text(text.as_bytes())
    }
}

impl From<Text<'_>> for String {
    fn from(text: Text<'_>) -> String {
        text.as_str().into()
    }
}

impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event<'a> {
    pub sid: Text<'a>,
    pub kind: i32,
    pub timestamp: Option<Timestamp>,
    pub account_sid: Text<'a>,
    pub workspace_sid: Text<'a>,
    pub task: Option<Task<'a>>,
    pub reservation: Option<Reservation<'a>>,
    pub worker: Option<Worker<'a>>,
    pub activity: Option<Activity<'a>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task<'a> {
    pub sid: Text<'a>,
    pub date_created: Option<Timestamp>,
    pub assignment_status: i32,
    pub priority: i32,
    pub task_channel_unique_name: &'a str,
    pub task_channel_sid: Text<'a>,
    pub version: i64,
    pub task_queue_sid: Text<'a>,
    pub task_queue_name: &'a str,
    pub task_queue_entered_date: Option<Timestamp>,
    pub workflow_sid: Text<'a>,
    pub workflow_name: &'a str,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reservation<'a> {
    pub sid: Text<'a>,
    pub version: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Worker<'a> {
    pub sid: Text<'a>,
    pub friendly_name: &'a str,
    pub activity_sid: Text<'a>,
    pub activity_name: &'a str,
    pub version: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity<'a> {
    pub sid: Text<'a>,
    pub friendly_name: &'a str,
    pub available: Option<bool>,
}

/// The encoded events of an encoded request, in order.
pub fn events(request: &[u8]) -> impl Iterator<Item = Result<&[u8], NotTheMessage>> {
    let mut fields = Fields(request);
    std::iter::from_fn(move || {
        let event = fields.next_event().transpose();
        if let Some(Err(_)) = event {
            fields = Fields(&[]);
        }
        event
    })
}

/// Reads one event.
pub fn event(encoded: &[u8]) -> Result<Event<'_>, NotTheMessage> {
    let mut event = Event::default();
    read_event(&mut event, encoded)?;
    Ok(event)
}

/// [`event`] into what is there and empty, since it is large to be handed on.
pub fn read_event<'a>(event: &mut Event<'a>, encoded: &'a [u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some(key) = fields.key()? {
        match key {
            (1, BYTES) => event.sid = fields.text("sid")?,
            (2, INT) => event.kind = fields.int()? as i32,
            (3, BYTES) => read_time(event.timestamp.get_or_insert_default(), fields.bytes()?)?,
            (4, BYTES) => event.account_sid = fields.text("account_sid")?,
            (5, BYTES) => event.workspace_sid = fields.text("workspace_sid")?,
            (6, BYTES) => read_task(event.task.get_or_insert_default(), fields.bytes()?)?,
            (7, BYTES) => read_reservation(event.reservation.get_or_insert_default(), fields.bytes()?)?,
            (8, BYTES) => read_worker(event.worker.get_or_insert_default(), fields.bytes()?)?,
            (9, BYTES) => read_activity(event.activity.get_or_insert_default(), fields.bytes()?)?,
            (tag @ 1..=9, _) => return Err(NotTheMessage::Type { of: "an event", tag }),
            unknown => fields.skip(unknown)?,
        }
    }
    Ok(())
}

fn read_task<'a>(task: &mut Task<'a>, encoded: &'a [u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some(key) = fields.key()? {
        match key {
            (1, BYTES) => task.sid = fields.text("task.sid")?,
            (2, BYTES) => read_time(task.date_created.get_or_insert_default(), fields.bytes()?)?,
            (3, INT) => task.assignment_status = fields.int()? as i32,
            (4, INT) => task.priority = fields.int()? as i32,
            (5, BYTES) => task.task_channel_unique_name = fields.name("task.task_channel_unique_name")?,
            (6, BYTES) => task.task_channel_sid = fields.text("task.task_channel_sid")?,
            (7, INT) => task.version = fields.int()? as i64,
            (8, BYTES) => task.task_queue_sid = fields.text("task.task_queue_sid")?,
            (9, BYTES) => task.task_queue_name = fields.name("task.task_queue_name")?,
            (10, BYTES) => read_time(task.task_queue_entered_date.get_or_insert_default(), fields.bytes()?)?,
            (11, BYTES) => task.workflow_sid = fields.text("task.workflow_sid")?,
            (12, BYTES) => task.workflow_name = fields.name("task.workflow_name")?,
            (tag @ 1..=12, _) => return Err(NotTheMessage::Type { of: "a task", tag }),
            unknown => fields.skip(unknown)?,
        }
    }
    Ok(())
}

fn read_reservation<'a>(reservation: &mut Reservation<'a>, encoded: &'a [u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some(key) = fields.key()? {
        match key {
            (1, BYTES) => reservation.sid = fields.text("reservation.sid")?,
            (2, INT) => reservation.version = fields.int()? as i64,
            (tag @ 1..=2, _) => return Err(NotTheMessage::Type { of: "a reservation", tag }),
            unknown => fields.skip(unknown)?,
        }
    }
    Ok(())
}

fn read_worker<'a>(worker: &mut Worker<'a>, encoded: &'a [u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some(key) = fields.key()? {
        match key {
            (1, BYTES) => worker.sid = fields.text("worker.sid")?,
            (2, BYTES) => worker.friendly_name = fields.name("worker.friendly_name")?,
            (3, BYTES) => worker.activity_sid = fields.text("worker.activity_sid")?,
            (4, BYTES) => worker.activity_name = fields.name("worker.activity_name")?,
            (5, INT) => worker.version = fields.int()? as i64,
            (tag @ 1..=5, _) => return Err(NotTheMessage::Type { of: "a worker", tag }),
            unknown => fields.skip(unknown)?,
        }
    }
    Ok(())
}

fn read_activity<'a>(activity: &mut Activity<'a>, encoded: &'a [u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some(key) = fields.key()? {
        match key {
            (1, BYTES) => activity.sid = fields.text("activity.sid")?,
            (2, BYTES) => activity.friendly_name = fields.name("activity.friendly_name")?,
            (3, INT) => activity.available = Some(fields.int()? != 0),
            (tag @ 1..=3, _) => return Err(NotTheMessage::Type { of: "an activity", tag }),
            unknown => fields.skip(unknown)?,
        }
    }
    Ok(())
}

fn read_time(time: &mut Timestamp, encoded: &[u8]) -> Result<(), NotTheMessage> {
    let mut fields = Fields(encoded);
    while let Some(key) = fields.key()? {
        match key {
            (1, INT) => time.seconds = fields.int()? as i64,
            (2, INT) => time.nanos = fields.int()? as i32,
            (tag @ 1..=2, _) => return Err(NotTheMessage::Type { of: "a timestamp", tag }),
            unknown => fields.skip(unknown)?,
        }
    }
    Ok(())
}

/// What is left of a message's fields.
struct Fields<'a>(&'a [u8]);

/// The number of a field and the type that its value has on the wire.
type Key = (u32, u8);

/// The types on the wire that the contract's fields have.
const INT: u8 = 0;
const BYTES: u8 = 2;

/// Of eight bytes, the bits by which a number says that another byte follows, and a text that it is not ASCII.
const CONTINUED: u64 = 0x8080_8080_8080_8080;

/// How deep groups may lie in each other, as the generated types have it.
const DEEPEST_GROUP: usize = 100;

// What is read of every field is inlined: an answer that may be an error would be handed on in memory.
impl<'a> Fields<'a> {
    fn next_event(&mut self) -> Result<Option<&'a [u8]>, NotTheMessage> {
        while let Some(key) = self.key()? {
            match key {
                (1, BYTES) => return self.bytes().map(Some),
                (tag @ 1, _) => return Err(NotTheMessage::Type { of: "the request", tag }),
                unknown => self.skip(unknown)?,
            }
        }
        Ok(None)
    }

    /// The key of the next field, whose value is to be read or skipped then; `None` after the last.
    #[inline(always)]
    fn key(&mut self) -> Result<Option<Key>, NotTheMessage> {
        match self.0 {
            [] => Ok(None),
            [byte @ 8..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(Some((u32::from(byte >> 3), byte & 7)))
            }
            _ => self.long_key().map(Some),
        }
    }

    #[cold]
    fn long_key(&mut self) -> Result<Key, NotTheMessage> {
        let key = self.int()?;
        match u32::try_from(key) {
            Ok(short) if short >= 8 => Ok((short >> 3, (short & 7) as u8)),
            _ => Err(NotTheMessage::Key(key)),
        }
    }

    #[inline(always)]
    fn int(&mut self) -> Result<u64, NotTheMessage> {
        match self.0 {
            [byte @ ..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            [low, high @ ..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_int(),
        }
    }

    /// Timestamps have five bytes of seconds and five of nanoseconds: all bytes of a number are read at once.
    fn long_int(&mut self) -> Result<u64, NotTheMessage> {
        let next = match (self.0.first_chunk(), self.0.first_chunk()) {
            (Some(eight), _) => u64::from_le_bytes(*eight),
            // Nanoseconds are the last that a timestamp has.
            (None, Some(four)) => u64::from(u32::from_le_bytes(*four)) | CONTINUED << 32,
            (None, None) => return self.longest_int(),
        };
        let last = (!next & CONTINUED).trailing_zeros() / 8;
        if last == 8 {
            return self.longest_int();
        }
        self.0 = &self.0[last as usize + 1..];
        // Seven bits of each byte, then pairs of them, then pairs of pairs.
        let value = next & (u64::MAX >> (56 - 8 * last)) & !CONTINUED;
        let value = (value & 0x007f_007f_007f_007f) | ((value & 0x7f00_7f00_7f00_7f00) >> 1);
        let value = (value & 0x0000_3fff_0000_3fff) | ((value & 0x3fff_0000_3fff_0000) >> 2);
        Ok((value & 0x0fff_ffff) | ((value & 0x0fff_ffff_0000_0000) >> 4))
    }

    /// A byte at a time: up to ten, or what little is left.
    fn longest_int(&mut self) -> Result<u64, NotTheMessage> {
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

    #[inline(always)]
    fn bytes(&mut self) -> Result<&'a [u8], NotTheMessage> {
        let length = self.int()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    #[inline(always)]
    fn text(&mut self, field: &'static str) -> Result<Text<'a>, NotTheMessage> {
        Text::of(self.bytes()?).ok_or(NotTheMessage::Text(field))
    }

    #[inline(always)]
    fn name(&mut self, field: &'static str) -> Result<&'a str, NotTheMessage> {
        std::str::from_utf8(self.bytes()?).map_err(|_| NotTheMessage::Text(field))
    }

    #[inline(always)]
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], NotTheMessage> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(NotTheMessage::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Reads over the value of a field that is not known. Groups are of an older age of the wire, but legal.
    #[cold]
    fn skip(&mut self, unknown: Key) -> Result<(), NotTheMessage> {
        let mut open: Vec<u32> = Vec::new();
        let (mut tag, mut wire_type) = unknown;
        loop {
            match wire_type {
                INT => drop(self.int()?),
                1 => drop(self.take(8)?),
                BYTES => drop(self.bytes()?),
                3 if open.len() < DEEPEST_GROUP => open.push(tag),
                4 if open.last() == Some(&tag) => drop(open.pop()),
                5 => drop(self.take(4)?),
                3 | 4 => return Err(NotTheMessage::Group),
                _ => return Err(NotTheMessage::Key(u64::from(tag) << 3 | u64::from(wire_type))),
            }
            if open.is_empty() {
                return Ok(());
            }
            (tag, wire_type) = self.key()?.ok_or(NotTheMessage::Short)?;
        }
    }
}
