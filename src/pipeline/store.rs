//! Where groups are made durable: the journal on disk, or nowhere at all for tests and demos.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::clock::Clock;
use crate::event::{HOUR_MS, Millis};
use crate::journal::{AppendError, Carry, Compression, Journal, Row};

/// Rows dropped in one slice.
const DROP_SLICE: usize = 64;
/// Bytes of carry-over written in one slice.
const CARRY_SLICE: usize = 1 << 20;
/// How often it is looked for rows that are old enough to be compressed or dropped.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Rows older than this are compressed; younger ones too, once there are more bytes of them than the second.
const COMPRESS_AFTER_MS: i64 = HOUR_MS;
const UNCOMPRESSED_BYTES: u64 = 64 << 20;

/// What a group commit needs of a journal. The writer's thread alone calls it.
pub trait Store: Send {
    /// Appends a group and syncs it; answers the position that the journal now ends at.
    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError>;
    /// Tries whether the store can be written again.
    fn probe(&mut self) -> Result<(), AppendError>;
    fn take_chore(&mut self, chore: Chore);
    /// Does a little of what is to be done besides; answers whether there is more.
    fn do_slice(&mut self) -> Result<bool, AppendError>;
}

/// Rows that hold nothing newer may go, once what must outlive them is written.
pub struct Chore {
    /// Key and body; the carry-over covers all rows up to `upto`.
    pub carries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Carry-overs that are no longer needed.
    pub expired: Vec<Vec<u8>>,
    pub older_than_ms: i64,
    pub upto: u64,
}

/// The journal on disk.
pub struct JournalStore {
    journal: Journal,
    chore: Option<Chore>,
    dropped: usize,
    look_at: Instant,
    clock: Arc<dyn Clock>,
    retention_ms: i64,
    /// Set when there are rows that may be dropped, for the keeper to see.
    droppable: Arc<AtomicBool>,
}

impl JournalStore {
    pub fn new(journal: Journal, clock: Arc<dyn Clock>, retention_ms: i64, droppable: Arc<AtomicBool>) -> JournalStore {
        let look_at = Instant::now() + LOOK_EVERY;
        JournalStore { journal, chore: None, dropped: 0, look_at, clock, retention_ms, droppable }
    }
}

/// Rows of which every event is older than this are of no use any more.
pub fn horizon(now: Millis, retention_ms: i64) -> Millis {
    now.minus(retention_ms + HOUR_MS)
}

impl Store for JournalStore {
    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        self.journal.append(rows)
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        self.journal.probe()
    }

    fn take_chore(&mut self, chore: Chore) {
        // A newer one covers what an unfinished older one was to do.
        self.chore = Some(chore);
        self.dropped = 0;
    }

    fn do_slice(&mut self) -> Result<bool, AppendError> {
        // Replies are out, so this is when the write-ahead log may be moved into the file.
        self.journal.tidy()?;
        if let Some(chore) = &mut self.chore {
            let done = prune_slice(&mut self.journal, chore, &mut self.dropped)?;
            if done {
                tracing::info!(rows = self.dropped, "dropped rows older than the retention");
                self.chore = None;
            }
            return Ok(true);
        }
        if Instant::now() < self.look_at {
            return Ok(false);
        }
        let old = horizon(self.clock.now(), self.retention_ms).0;
        if self.journal.droppable(old, u64::MAX).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look for old rows of the journal");
            false
        }) {
            self.droppable.store(true, Ordering::Relaxed);
        }
        let older_than_ms = self.clock.now().minus(COMPRESS_AFTER_MS).0;
        let policy = Compression { older_than_ms, tail_bytes: UNCOMPRESSED_BYTES };
        let more = match self.journal.compress(policy) {
            Ok(more) => more,
            Err(AppendError::Damaged(damage)) => {
                // The state in memory is whole; what is damaged is the means to derive it anew.
                tracing::error!(%damage, "an old row of the journal is damaged; it is left as it is");
                false
            }
            Err(error) => return Err(error),
        };
        if !more {
            self.look_at = Instant::now() + LOOK_EVERY;
        }
        Ok(more)
    }
}

/// Writes carry-overs first, then drops rows; answers whether all is done.
fn prune_slice(journal: &mut Journal, chore: &mut Chore, dropped: &mut usize) -> Result<bool, AppendError> {
    if !chore.carries.is_empty() {
        let mut bytes = 0;
        let slice = chore.carries.iter().rev().take_while(|(_, body)| {
            let first = bytes == 0;
            bytes += body.len();
            first || bytes <= CARRY_SLICE
        });
        let slice: Vec<Carry<'_>> = slice.map(|(key, body)| Carry { key, body }).collect();
        journal.put_carries(&slice)?;
        let left = chore.carries.len() - slice.len();
        chore.carries.truncate(left);
        return Ok(false);
    }
    if let Some(key) = chore.expired.pop() {
        journal.remove_carry(&key)?;
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
    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        self.end += rows.iter().map(|row| u64::from(row.events)).sum::<u64>();
        Ok(self.end)
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        Ok(())
    }

    fn take_chore(&mut self, _chore: Chore) {}

    fn do_slice(&mut self) -> Result<bool, AppendError> {
        Ok(false)
    }
}
