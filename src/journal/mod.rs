//! The durable order of event batches. This room knows bytes, not meaning.
//!
//! Every event that was ever accepted has a position, counted from 1 over all partitions. A [`Row`] is what one
//! partition appends in one group commit: some events, encoded by the caller, and the little that the journal must
//! know of them. [`Journal::append`] writes the rows of a group in one transaction and returns once they are synced.
//!
//! On disk, in the data directory:
//! * `LOCK` names the one process that may use the directory ([`lock`]).
//! * `journal.db`, `journal.db-wal` hold the log, in SQLite ([`store`] has the layout and its reasons).
//! * `checkpoint-…` is a snapshot of what the log means, derived and replaceable ([`checkpoint`]).
//!
//! Invariants, each checked when the journal is opened or read, never assumed:
//! * Rows and the ranges known to be gone tile `1..=end`, without gap or overlap.
//! * A row's header and its body each have a checksum; a body is handed out only when both hold.
//! * `end` never goes back: it has a row of its own, written in each transaction.
//! * What must outlive dropped rows (the carry-over) is complete, or reading it is refused.
//!
//! Trouble comes in three kinds. [`AppendError::Refused`] left the journal whole and may pass; after
//! [`AppendError::Lost`] nobody knows what is on disk, and the process must end; damage, and what cannot be read, is named
//! and refused, and changed nothing.

mod age;
mod block;
mod carry;
pub mod checkpoint;
mod copy;
mod error;
mod files;
mod lock;
mod log;
mod settle;
mod size;
mod store;
mod survey;
mod tile;
mod wal;

#[cfg(test)]
mod tests;

pub use age::Compression;
#[doc(hidden)] // open for fuzz/
pub use block::read as read_block;
pub use carry::Carry;
pub use copy::{CopyError, CopyIn, CopyOut};
pub use error::{AppendError, Cause, Damage, Damaged, OpenError, ReadError};
pub use log::{Journal, Opened, Stats};
pub use size::OnDisk;
pub use survey::{Found, Survey};
pub use wal::Cut;

/// What a partition appends: opaque bytes, and what the journal must know of them.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// How many events the body holds, at least 1.
    pub events: u32,
    /// The newest timestamp among them, in milliseconds since 1970: the row may be dropped once this is too old.
    pub newest_ms: i64,
    /// The events, encoded; at most [`MAX_BODY_BYTES`].
    pub body: &'a [u8],
    /// Every carry-over whose key begins so goes in the transaction that appends the row, and the row stays for as
    /// long as any row before it: what it ends can never be read without it. Not so where a row before it cannot be read
    /// when both may be dropped: whoever reads that one once more has to know by its age that it is of no use.
    pub ends: Option<&'a [u8]>,
}

/// A row as it is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Position of its first event, from 1.
    pub first: u64,
    /// How many events it holds: positions `first..first + events`.
    pub events: u32,
    /// The newest timestamp among them, in milliseconds since 1970.
    pub newest_ms: i64,
    /// The bytes that were appended.
    pub body: &'a [u8],
}

impl Record<'_> {
    /// Position of its last event.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.events) - 1
    }
}

/// The longest body of a row or a carry-over, in bytes. A group is bounded far below by its own limits; SQLite
/// itself ends at 1 GB.
pub const MAX_BODY_BYTES: usize = 256 << 20;
