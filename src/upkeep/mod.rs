//! Work on a data directory that no server has: looking for damage, taking the events out, deriving the checkpoint anew;
//! and making one of what a server hands out for a backup ([`Incoming`]).
//!
//! Each takes the directory's lock, so that no server starts meanwhile, and tells what it comes upon through a
//! [`Listener`] as it goes. [`verify`] and [`export`] change nothing else; [`rebuild`] replaces checkpoints only.

mod backup;
mod export;
mod rebuild;
#[cfg(test)]
mod tests;
mod verify;

use std::io;
use std::path::PathBuf;

pub use backup::{BackedUp, Incoming};
pub use export::{Exported, export};
pub use rebuild::{Rebuilt, rebuild};
pub use verify::{Report, verify};

use crate::journal::{CopyError, Damage};
pub use crate::journal::{OpenError, ReadError};
use crate::pipeline::RecoveryError;

/// Hears of long work while it goes on.
pub trait Listener {
    /// So many of the positions of the log are behind it.
    fn progress(&mut self, position: u64, of: u64);
    /// Something is damaged, or otherwise worth a line.
    fn finding(&mut self, words: String);
}

/// Damage in words, and how much it takes with it: a compressed row is of many that were written one by one.
fn told(damage: &Damage) -> String {
    match damage {
        Damage::NoBody { first, last } | Damage::Body { first, last } | Damage::Block { first, last } => {
            format!("{damage}: {}", counted(last - first + 1, "event"))
        }
        _ => damage.to_string(),
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Why the work was not done.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the log does not give a state: {0}")]
    Recover(#[from] RecoveryError),
    #[error("{}: {}; --skip-damaged goes on without", dir.display(), told(damage))]
    Damaged { dir: PathBuf, damage: Damage },
    #[error("{}: the events at positions {first} to {last} cannot be read: {why}; --skip-damaged goes on without", dir.display())]
    Undecoded { dir: PathBuf, first: u64, last: u64, why: String },
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Where a backup is to be, something is.
    #[error("{} is there already", .0.display())]
    Taken(PathBuf),
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// What came in is a log, but not a sound one.
    #[error("the copy is not sound: {0}")]
    Unsound(String),
    #[error("cannot write the checkpoint: {0}")]
    Checkpoint(io::Error),
    /// Whoever takes the events takes no more.
    #[error("cannot write the events: {0}")]
    Sink(io::Error),
}
