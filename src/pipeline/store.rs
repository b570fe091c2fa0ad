//! Where groups are made durable: the journal on disk, or nowhere at all for tests and demos.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::event::{HOUR_MS, Millis};
use crate::journal::{AppendError, Carry, Compression, Journal, Row};

/// Rows dropped in one slice.
const DROP_SLICE: usize = 64;
/// Bytes of carry-over written in one slice.
const CARRY_SLICE: usize = 1 << 20;
/// How often it is looked for rows that are old enough to be compressed or dropped.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long old rows are left alone once one of them cannot be read: that rarely comes alone, and each is a line of the
/// log. The journal then goes on behind it.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10 * 60);

/// Rows older than this are compressed; younger ones too, once there are more bytes of them than the second.
const COMPRESS_AFTER_MS: i64 = HOUR_MS;
const UNCOMPRESSED_BYTES: u64 = 64 << 20;

/// What a group commit needs of a journal. The writer alone calls it.
pub trait Store: Send {
    /// The position that it ends at.
    fn end(&self) -> u64;
    /// The newest timestamp of its events; no later than 1970 where it has none or does not know.
    fn newest_ms(&self) -> i64 {
        0
    }
    /// Appends a group and syncs it; answers the position that the journal now ends at.
    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError>;
    /// Tries whether the store can be written again.
    fn probe(&mut self) -> Result<(), AppendError>;
    fn take_chore(&mut self, chore: Chore);
    /// The journal behind it, where there is one to be copied.
    fn journal(&mut self) -> Option<&mut Journal> {
        None
    }
    /// Does a little of what is to be done besides, at this time of day and uptime.
    fn do_slice(&mut self, now: Millis, uptime: Duration) -> Result<Slice, AppendError>;
}

/// What a slice of work came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Whether there is more to do.
    pub more: bool,
    /// Whether there are rows that may be dropped once what must outlive them is carried over.
    pub old_rows: bool,
}

/// What must outlive rows, under its key, as of this position.
pub struct CarriedPart {
    pub key: Vec<u8>,
    pub body: Vec<u8>,
    pub as_of: u64,
}

/// Rows that hold nothing newer may go, once what must outlive them is written.
pub struct Chore {
    /// To be written in this order; the carry-over covers all rows up to `upto`.
    pub carries: VecDeque<CarriedPart>,
    /// Key and body of what says that all of them are written, to be written after them.
    pub seal: Option<(Vec<u8>, Vec<u8>)>,
    /// Carry-overs that are no longer needed.
    pub expired: Vec<Vec<u8>>,
    pub older_than_ms: i64,
    pub upto: u64,
}

impl Chore {
    /// Takes on a newer one before this one is finished. The newer one tells again what has changed since, and only
    /// that, so what is left of this one must be written all the same; each in its place, since the order matters.
    fn join(&mut self, newer: Chore) {
        let Chore { carries, seal, expired, older_than_ms, upto } = newer;
        let places: HashMap<Vec<u8>, usize> = self.carries.iter().map(|part| part.key.clone()).zip(0..).collect();
        for part in carries {
            match places.get(&part.key) {
                Some(at) => self.carries[*at] = part,
                None => self.carries.push_back(part),
            }
        }
        self.seal = seal;
        self.expired.extend(expired);
        self.older_than_ms = older_than_ms;
        self.upto = upto;
    }
}

/// The journal on disk.
pub struct JournalStore {
    journal: Journal,
    chore: Option<Chore>,
    dropped: usize,
    /// The chore has met what cannot be read, and waits until then, in the clock's uptime.
    put_off_to: Duration,
    /// When to look for old rows next, in the clock's uptime; not before some time has passed since the start.
    look_at: Option<Duration>,
    retention_ms: i64,
    /// Beginnings of keys of which nothing may be written that is older than the position: what is on its way from
    /// an earlier look must not bring a forgotten workspace back.
    forgotten: Vec<(Vec<u8>, u64)>,
}

impl JournalStore {
    pub fn new(journal: Journal, retention_ms: i64) -> JournalStore {
        let (put_off_to, forgotten) = (Duration::ZERO, Vec::new());
        JournalStore { journal, chore: None, dropped: 0, put_off_to, look_at: None, retention_ms, forgotten }
    }

    fn discard_forgotten(&self, carries: &mut VecDeque<CarriedPart>) {
        let is_forgotten = |part: &CarriedPart| {
            self.forgotten.iter().any(|(prefix, position)| part.as_of < *position && part.key.starts_with(prefix))
        };
        carries.retain(|part| !is_forgotten(part));
    }
}

/// Rows of which every event is older than this are of no use any more, also after the clock is set back by an hour. A
/// whole second, since questions begin with one and events are recognised by theirs.
pub fn horizon(now: Millis, retention_ms: i64) -> Millis {
    now.minus(retention_ms + HOUR_MS).second().start()
}

impl Store for JournalStore {
    fn end(&self) -> u64 {
        self.journal.end()
    }

    fn newest_ms(&self) -> i64 {
        self.journal.newest_ms()
    }

    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        let end = self.journal.append(rows)?;
        let forgotten: Vec<Vec<u8>> = rows.iter().filter_map(|row| Some(row.ends?.to_vec())).collect();
        if !forgotten.is_empty() {
            self.forgotten.extend(forgotten.into_iter().map(|prefix| (prefix, end)));
            let mut chore = self.chore.take();
            if let Some(chore) = &mut chore {
                self.discard_forgotten(&mut chore.carries);
            }
            self.chore = chore;
        }
        Ok(end)
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        self.journal.probe()?;
        // Else it would be writable until the next group, and not after it.
        self.journal.tidy()
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn take_chore(&mut self, mut chore: Chore) {
        self.discard_forgotten(&mut chore.carries);
        // What comes later was looked at later still.
        self.forgotten.retain(|(_, position)| *position > chore.upto);
        match &mut self.chore {
            Some(unfinished) => unfinished.join(chore),
            None => {
                self.chore = Some(chore);
                self.dropped = 0;
            }
        }
    }

    fn do_slice(&mut self, now: Millis, uptime: Duration) -> Result<Slice, AppendError> {
        // Replies are out, so this is when the write-ahead log may be moved into the file.
        self.journal.tidy()?;
        if let Some(chore) = self.chore.as_mut().filter(|_| uptime >= self.put_off_to) {
            match prune_slice(&mut self.journal, chore, &mut self.dropped) {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(rows = self.dropped, "dropped rows older than the retention");
                    self.chore = None;
                }
                // To end the process over rows that are of no use any more would end it again after each start. What
                // must outlive them and is not written yet stays in the chore, and they stay until it is.
                Err(AppendError::Damaged(damage)) => {
                    tracing::error!(%damage, "rows older than the retention cannot be dropped for now");
                    self.put_off_to = uptime + TRY_AGAIN_AFTER;
                }
                Err(error) => return Err(error),
            }
            return Ok(Slice { more: true, old_rows: false });
        }
        if uptime < *self.look_at.get_or_insert(uptime + LOOK_EVERY) {
            return Ok(Slice::default());
        }
        self.look_for_old_rows(now, uptime)
    }
}

impl JournalStore {
    fn look_for_old_rows(&mut self, now: Millis, uptime: Duration) -> Result<Slice, AppendError> {
        self.journal.check_places()?;
        let mut look_after = LOOK_EVERY;
        let old = horizon(now, self.retention_ms).0;
        let old_rows = self.journal.droppable(old, u64::MAX).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look for old rows of the journal for now");
            look_after = TRY_AGAIN_AFTER;
            false
        });
        let policy = Compression { older_than_ms: now.minus(COMPRESS_AFTER_MS).0, tail_bytes: UNCOMPRESSED_BYTES };
        let more = match self.journal.compress(policy) {
            Ok(more) => more,
            Err(AppendError::Damaged(damage)) => {
                // The state in memory is whole; what is damaged is the means to derive it anew.
                tracing::error!(%damage, "an old row of the journal cannot be read; it is left as it is for now");
                look_after = TRY_AGAIN_AFTER;
                false
            }
            Err(error) => return Err(error),
        };
        if !more {
            self.look_at = Some(uptime + look_after);
        }
        Ok(Slice { more, old_rows })
    }
}

/// Writes carry-overs first, then drops rows; answers whether all is done.
fn prune_slice(journal: &mut Journal, chore: &mut Chore, dropped: &mut usize) -> Result<bool, AppendError> {
    if !chore.carries.is_empty() {
        let mut bytes = 0;
        let slice = chore.carries.iter().take_while(|part| {
            let first = bytes == 0;
            bytes += part.body.len();
            first || bytes <= CARRY_SLICE
        });
        let slice: Vec<Carry<'_>> = slice.map(|part| Carry { key: &part.key, body: &part.body }).collect();
        journal.put_carries(&slice)?;
        let written = slice.len();
        chore.carries.drain(..written);
        return Ok(false);
    }
    if let Some((key, body)) = &chore.seal {
        journal.put_carry(key, body)?;
        chore.seal = None;
        return Ok(false);
    }
    if let Some(key) = chore.expired.last() {
        journal.remove_carry(key)?;
        chore.expired.pop();
        return Ok(false);
    }
    let rows = journal.drop_rows(chore.older_than_ms, chore.upto, DROP_SLICE)?;
    *dropped += rows;
    Ok(rows == 0)
}

/// Keeps nothing but the count: everything is gone when the process ends.
#[derive(Default)]
pub struct Ephemeral {
    end: u64,
}

impl Store for Ephemeral {
    fn end(&self) -> u64 {
        self.end
    }

    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        self.end += rows.iter().map(|row| u64::from(row.events)).sum::<u64>();
        Ok(self.end)
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        Ok(())
    }

    fn take_chore(&mut self, _chore: Chore) {}

    fn do_slice(&mut self, _now: Millis, _uptime: Duration) -> Result<Slice, AppendError> {
        Ok(Slice::default())
    }
}

#[cfg(test)]
mod tests;
