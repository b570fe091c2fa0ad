//! What the sections of a checkpoint say: a preface, then a workspace each.

use std::io;
use std::path::Path;

use super::Replay;
use crate::engine::Workspace;
use crate::event::WorkspaceSid;
use crate::journal::checkpoint::{self, Checkpoint};

/// What a checkpoint says before its workspaces.
#[derive(serde::Serialize, serde::Deserialize)]
struct Preface {
    format: u32,
    key: u64,
    retention_ms: i64,
}

const FORMAT: u32 = 1;

/// The state that a checkpoint holds, and the retention that it was written under.
pub(in crate::pipeline) fn read_checkpoint(checkpoint: &mut Checkpoint) -> Result<(Replay, i64), String> {
    let mut next = || checkpoint.next_section().map_err(|flaw| flaw.to_string());
    let preface = next()?.ok_or("it is empty")?;
    let preface: Preface = postcard::from_bytes(&preface).map_err(|error| error.to_string())?;
    if preface.format != FORMAT {
        return Err(format!("it has format {}, this version reads {FORMAT}", preface.format));
    }
    let mut replay = Replay::new(preface.key, false);
    while let Some(section) = next()? {
        let (prefix, state) = section.split_at_checked(24).ok_or("a section is cut short")?;
        let (sid, position) = prefix.split_at(16);
        let sid = WorkspaceSid::from_bytes(sid.try_into().map_err(|_| "a section without a sid")?);
        let position = u64::from_le_bytes(position.try_into().map_err(|_| "a section without a position")?);
        let state = Workspace::decode(state).map_err(|damage| damage.to_string())?;
        replay.workspaces.insert(sid, Box::new(state));
        replay.whole_to.insert(sid, position);
    }
    Ok((replay, preface.retention_ms))
}

/// Writes the checkpoint of these workspaces, with their key and the retention that they are under. Each is whole up to a
/// position of its own, at `position` or later.
pub(in crate::pipeline) fn write_checkpoint<'a>(
    dir: &Path,
    position: u64,
    (key, retention_ms): (u64, i64),
    mut workspaces: impl Iterator<Item = (WorkspaceSid, u64, &'a Workspace)>,
) -> io::Result<()> {
    let preface = postcard::to_stdvec(&Preface { format: FORMAT, key, retention_ms }).map_err(io::Error::other)?;
    checkpoint::write(dir, position, |draft| {
        draft.section(&preface)?;
        workspaces.try_for_each(|(sid, whole_to, state)| {
            draft.section_in_parts(|section, spill| {
                section.extend_from_slice(sid.as_bytes());
                section.extend_from_slice(&whole_to.to_le_bytes());
                state.encode_in_parts(section, spill);
            })
        })
    })
}
