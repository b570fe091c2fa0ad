//! Deriving the checkpoint anew, from the log alone.

use std::path::Path;

use super::{Listener, UpkeepError};
use crate::journal::{Journal, checkpoint};
use crate::pipeline::offline::{self, Snapshot};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The position of the new checkpoint.
    pub position: u64,
    pub workspaces: usize,
    pub retention_ms: i64,
}

/// Reads the whole log, writes a checkpoint of what it says, and then removes the others.
///
/// The checkpoint is written for the retention that the newest readable one names, or else for `retention_ms`; a server
/// that is started with another one derives its state itself.
///
/// # Errors
/// The log does not give a state; the checkpoints are as they were.
pub fn rebuild(dir: &Path, retention_ms: i64, to: &mut dyn Listener) -> Result<Rebuilt, UpkeepError> {
    // A start makes a directory that is not there; this must not.
    drop(crate::journal::Survey::open(dir, "tasktally rebuild")?);
    let (mut journal, opened) = Journal::open(dir, "tasktally rebuild")?;
    if let Some(cut) = opened.cut {
        to.finding(format!("the journal's newest bytes were not whole: {cut}"));
    }
    let mut named = None;
    for candidate in checkpoint::survey(dir).map_err(UpkeepError::Checkpoint)? {
        let name = candidate.path.display().to_string();
        match candidate.checkpoint.map_err(|flaw| flaw.to_string()).and_then(Snapshot::read) {
            Ok(snapshot) => {
                named = named.or(Some(snapshot.retention_ms));
                if snapshot.position > journal.end() {
                    let at = snapshot.position;
                    to.finding(format!(
                        "{name} knows of position {at}, the journal ends at {}: its end is lost",
                        journal.end()
                    ));
                    // No position is ever given twice.
                    journal.raise_end(at).map_err(|error| UpkeepError::Checkpoint(std::io::Error::other(error)))?;
                }
            }
            Err(why) => to.finding(format!("{name} is thrown away: {why}")),
        }
    }
    let retention_ms = named.unwrap_or(retention_ms);
    let state = offline::derive(&mut journal, retention_ms)?;
    let position = journal.end();
    offline::write_checkpoint(dir, position, retention_ms, &state).map_err(UpkeepError::Checkpoint)?;
    journal.close().map_err(|error| UpkeepError::Checkpoint(std::io::Error::other(error)))?;
    Ok(Rebuilt { position, workspaces: state.workspaces.len(), retention_ms })
}
