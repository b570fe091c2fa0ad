//! What can go wrong, told apart by what the caller does next.

use std::{fmt, io, path::PathBuf};

use rusqlite::ErrorCode;

/// Why a journal could not be opened. Nothing was changed on disk but the lock file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory; `holder` says which, in its own words.
    #[error("the data directory {} is in use by {holder}", dir.display())]
    Held { dir: PathBuf, holder: String },
    /// Written by a version of this program that stores things differently.
    #[error("{} has format version {found}, this program reads and writes version {supported} only", file.display())]
    Format { file: PathBuf, found: i64, supported: i64 },
    /// An SQLite file, but of another program.
    #[error("{} is not a tasktally journal: its application id is {found:#010x}, not {expected:#010x}", file.display())]
    Foreign { file: PathBuf, found: i64, expected: i64 },
    /// The log is not whole.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The file system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// SQLite refused.
    #[error("cannot {doing} {}: {source}", file.display())]
    Store { doing: &'static str, file: PathBuf, source: rusqlite::Error },
}

/// Why the log could not be read. What was handed out before the error is right and in order.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log is not whole.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// SQLite could not read its file.
    #[error("cannot read {}: {source}", file.display())]
    Store { file: PathBuf, source: rusqlite::Error },
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The journal surely is as it was before the call, and may be tried again: no space, no permission, read-only.
    #[error("the journal cannot be written for now, and is as it was: {cause}")]
    Refused { cause: Cause },
    /// A failed sync, or an outcome nobody knows: stop accepting, say so, and exit. Every later write fails too.
    #[error("the journal is lost to this process: {cause}")]
    Lost { cause: Cause },
    /// The write met damage, or what it had to read cannot be read. It changed nothing, and may be tried again: the next
    /// write first proves that.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// What refused a write.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("cannot {doing}: {source}")]
    Store { doing: &'static str, source: rusqlite::Error },
    #[error("cannot {doing}: {source}")]
    Io { doing: &'static str, source: io::Error },
    /// The transaction did not end where it began: the end of the log before, and after the rollback.
    #[error("a failed write was not rolled back: the log ended at {before}, now at {after}")]
    NotRolledBack { before: u64, after: u64 },
    /// What is written now, nobody finds again.
    #[error("{} was moved or removed while it was open", file.display())]
    Moved { file: PathBuf },
    /// An earlier write was lost.
    #[error("an earlier write was lost")]
    Earlier,
}

/// Damage, and the file that has it.
#[derive(Debug, thiserror::Error)]
#[error("{} is damaged: {damage}", file.display())]
pub struct Damaged {
    pub file: PathBuf,
    pub damage: Damage,
}

/// What is wrong with a log. Positions are those of events; ranges include both ends.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("it is missing, but {} is there", beside.display())]
    FileMissing { beside: PathBuf },
    #[error("it is {found} bytes long where its header says {expected}")]
    Length { expected: u64, found: u64 },
    #[error("its tables are not those of this format")]
    Schema,
    #[error("its {what} has a wrong checksum")]
    Single { what: &'static str },
    #[error("positions {first} to {last} are missing")]
    Missing { first: u64, last: u64 },
    #[error("positions {first} to {last} are there twice or out of order")]
    Overlap { first: u64, last: u64 },
    #[error("positions {first} to {last} lie beyond its end, {end}")]
    Beyond { first: u64, last: u64, end: u64 },
    #[error("the header of the row from position {first} on has a wrong checksum")]
    Header { first: i64 },
    #[error("the range of dropped rows from position {first} on has a wrong checksum")]
    Gap { first: i64 },
    #[error("the row of positions {first} to {last} has no body")]
    NoBody { first: u64, last: u64 },
    #[error("the row of positions {first} to {last} has a wrong checksum")]
    Body { first: u64, last: u64 },
    #[error("the compressed row of positions {first} to {last} cannot be unpacked")]
    Block { first: u64, last: u64 },
    #[error("carry-over {key} has a wrong checksum")]
    Carry { key: Key },
    #[error("its carry-over is not complete: {found} entries are there, {expected} were written")]
    CarrySet { expected: u64, found: u64 },
    /// SQLite says the same of a disk that fails to read.
    #[error("{0}, or the disk fails to read it")]
    Store(rusqlite::Error),
    #[error("it cannot be read: {0}")]
    Unreadable(rusqlite::Error),
}

/// A carry-over's key in a message: at most 32 bytes of it, as text where it is text.
#[derive(Debug)]
pub struct Key(pub Vec<u8>);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0[..self.0.len().min(32)].escape_ascii())
    }
}

/// Trouble inside the room, before the file's name and the caller's point of view are known.
#[derive(Debug)]
pub(super) enum Trouble {
    Damage(Damage),
    Store(rusqlite::Error),
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

/// SQLite's own corruption errors become damage here, once; so does whatever can only come from bytes that this
/// program did not write: a column of another type, a statement that no longer fits the tables.
impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let damaged = match &error {
            E::SqliteFailure(failure, _) => {
                matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
            }
            E::InvalidColumnType(..)
            | E::IntegralValueOutOfRange(..)
            | E::FromSqlConversionFailure(..)
            | E::InvalidColumnIndex(_)
            | E::QueryReturnedNoRows
            | E::SqlInputError { .. } => true,
            _ => false,
        };
        if damaged { Self::Damage(Damage::Store(error)) } else { Self::Store(error) }
    }
}

impl Trouble {
    /// The damage, where it is one.
    pub(super) fn damage(self) -> Result<Damage, Trouble> {
        match self {
            Self::Damage(damage) => Ok(damage),
            store @ Self::Store(_) => Err(store),
        }
    }

    pub(super) fn on_open(self, doing: &'static str, file: PathBuf) -> OpenError {
        match self {
            Self::Damage(damage) => OpenError::Damaged(Damaged { file, damage }),
            Self::Store(source) => OpenError::Store { doing, file, source },
        }
    }

    pub(super) fn on_read(self, file: PathBuf) -> ReadError {
        match self {
            Self::Damage(damage) => ReadError::Damaged(Damaged { file, damage }),
            Self::Store(source) => ReadError::Store { file, source },
        }
    }
}
