//! A workspace as bytes: whole for a checkpoint, or only what must outlive the rows of the log.

use serde::{Deserialize, Serialize};

use super::channels::{ChannelNames, Channels};
use super::duplicates::Duplicates;
use super::history::History;
use super::place::Place;
use super::tasks::Tasks;
use super::varint::{self, Damaged, Spill};
use super::workers::Workers;
use super::workspace::Workspace;
use crate::event::{AccountSid, ChannelSid, DAY_MS, Millis, TaskSid};

/// The format of both. A checkpoint of another format is thrown away; a carry-over must always be readable.
const VERSION: u8 = 1;

/// Far beyond any setting: a hundred years.
const LONGEST_RETENTION_MS: i64 = 36_525 * DAY_MS;

/// Everything of a workspace but its series and its duplicates, which have compact forms of their own.
#[derive(Serialize)]
struct HeadRef<'a> {
    account: AccountSid,
    retention_ms: i64,
    line: Millis,
    forgotten_at: Millis,
    tasks: &'a Tasks,
    workers: &'a Workers,
    names: &'a ChannelNames,
}

#[derive(Deserialize)]
struct Head {
    account: AccountSid,
    retention_ms: i64,
    line: Millis,
    forgotten_at: Millis,
    tasks: Tasks,
    workers: Workers,
    names: ChannelNames,
}

/// What must outlive the rows of the log, but for the ends of tasks.
#[derive(Serialize, Deserialize)]
struct Lasting {
    account: AccountSid,
    workers: Workers,
    channels: Vec<(ChannelSid, Place, Box<str>)>,
}

/// One part of a workspace's carry-over. Parts join in any order and may be joined twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CarryPart {
    /// Account, workers, activities, and what channel sids stand for.
    Lasting,
    /// The tasks that ended on this day since 1970.
    Ends(i32),
}

impl Workspace {
    /// Appends everything held, in a form that [`Workspace::decode`] reads back.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_in_parts(out, &mut |_| ());
    }

    /// The same, calling `spill` again and again with what there is so far, which it may take.
    pub fn encode_in_parts(&self, out: &mut Vec<u8>, spill: &mut Spill<'_>) {
        let head = HeadRef {
            account: self.account,
            retention_ms: self.retention_ms,
            line: self.line,
            forgotten_at: self.forgotten_at,
            tasks: &self.tasks,
            workers: &self.workers,
            names: self.channels.names(),
        };
        let head = to_bytes(&head);
        out.push(VERSION);
        varint::put(out, head.len() as u64);
        out.extend_from_slice(&head);
        drop(head);
        spill(out);
        let series: Vec<&History> = self.channels.all_series().collect();
        varint::put(out, series.len() as u64);
        for series in series {
            series.encode_in_parts(out, spill);
        }
        self.duplicates.encode_in_parts(out, spill);
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Workspace, Damaged> {
        let bytes = &mut bytes;
        let (version, rest) = bytes.split_first().ok_or(Damaged("a workspace without a format"))?;
        if *version != VERSION {
            return Err(Damaged("a workspace of another format"));
        }
        *bytes = rest;
        let length = usize::try_from(varint::take(bytes)?).map_err(|_| Damaged("a head too long"))?;
        let (head, rest) = bytes.split_at_checked(length).ok_or(Damaged("a head cut short"))?;
        *bytes = rest;
        let head: Head = postcard::from_bytes(head).map_err(|_| Damaged("a head that is none"))?;
        // Beyond it sums of times could overflow.
        if !(0..=LONGEST_RETENTION_MS).contains(&head.retention_ms) {
            return Err(Damaged("a retention that is none"));
        }
        let series = varint::take(bytes)?;
        let series = (0..series).map(|_| History::decode(bytes)).collect::<Result<Vec<_>, _>>()?;
        let channels = Channels::restore(head.names, series).ok_or(Damaged("series without channels"))?;
        Ok(Workspace {
            account: head.account,
            retention_ms: head.retention_ms,
            duplicates: Duplicates::decode(bytes)?,
            channels,
            tasks: head.tasks,
            workers: head.workers,
            line: head.line,
            forgotten_at: head.forgotten_at,
        })
    }

    /// What must outlive rows whose events all happened before `before`, or earlier than that. Ends are told by whole
    /// days from the one of `since` on; earlier days cannot have changed since they were told.
    pub fn carry_over(&self, since: Millis, before: Millis) -> Vec<(CarryPart, Vec<u8>)> {
        let lasting =
            Lasting { account: self.account, workers: self.workers.clone(), channels: self.channels.standing() };
        let mut parts = vec![(CarryPart::Lasting, versioned(to_bytes(&lasting)))];
        let ends = self.tasks.ends_before(before);
        for ends in ends.chunk_by(|(_, one), (_, other)| day_of(*one) == day_of(*other)) {
            let day = day_of(ends[0].1);
            if day >= day_of(since) {
                parts.push((CarryPart::Ends(day), versioned(to_bytes(ends))));
            }
        }
        parts
    }

    /// The account that a lasting part names: the first thing that must be known of a workspace.
    pub fn account_of_carry(body: &[u8]) -> Result<AccountSid, Damaged> {
        Ok(lasting_of(body)?.account)
    }

    pub fn take_carry(&mut self, part: CarryPart, body: &[u8]) -> Result<(), Damaged> {
        match part {
            CarryPart::Lasting => {
                let lasting = lasting_of(body)?;
                self.workers.join(lasting.workers);
                for (sid, place, name) in lasting.channels {
                    self.channels.remember(sid, place, name);
                }
            }
            CarryPart::Ends(_) => {
                let ends: Vec<(TaskSid, Millis)> = from_versioned(body)?;
                for (task, end) in ends {
                    self.tasks.remember_end(task, end);
                }
            }
        }
        Ok(())
    }
}

impl CarryPart {
    /// Whether no event that may still arrive can meet what the part holds.
    pub fn is_expired(self, line: Millis, retention_ms: i64) -> bool {
        match self {
            CarryPart::Lasting => false,
            CarryPart::Ends(day) => Millis((i64::from(day) + 2) * DAY_MS) < line.minus(2 * retention_ms),
        }
    }

    /// A part's name within its workspace.
    pub fn to_key(self) -> [u8; 5] {
        match self {
            CarryPart::Lasting => [b'l', 0, 0, 0, 0],
            CarryPart::Ends(day) => {
                let [a, b, c, d] = day.to_be_bytes();
                [b'e', a, b, c, d]
            }
        }
    }

    pub fn from_key(key: &[u8]) -> Option<CarryPart> {
        match *key {
            [b'l', 0, 0, 0, 0] => Some(CarryPart::Lasting),
            [b'e', a, b, c, d] => Some(CarryPart::Ends(i32::from_be_bytes([a, b, c, d]))),
            _ => None,
        }
    }
}

fn day_of(moment: Millis) -> i32 {
    moment.0.div_euclid(DAY_MS) as i32
}

fn lasting_of(body: &[u8]) -> Result<Lasting, Damaged> {
    from_versioned(body)
}

fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_else(|error| unreachable!("writing to memory failed: {error}"))
}

fn versioned(mut body: Vec<u8>) -> Vec<u8> {
    body.push(VERSION);
    body
}

fn from_versioned<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Damaged> {
    match body.split_last() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|_| Damaged("a carry-over that is none")),
        Some(_) => Err(Damaged("a carry-over of another format")),
        None => Err(Damaged("an empty carry-over")),
    }
}
