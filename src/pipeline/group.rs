//! Calls that go through the journal together.

use super::ask::{Call, Forget, Ingested};
use super::row;
use crate::event::{Event, Millis, WorkspaceSid};
use crate::journal::Row;

/// Calls admitted together, or one workspace to be forgotten: what goes to the journal, and what is to be said once it
/// is there.
pub struct Group {
    pub accepted: usize,
    pub admitted_at: Millis,
    pub replies: Vec<Pending>,
    pub forget: Option<Forget>,
}

/// A call of a group, and what is to be said to its caller.
pub struct Pending {
    /// Of its events only those that were accepted are left; they stay where they were read to.
    pub call: Call,
    pub ingested: Ingested,
    /// Whether the answer stands on events of this group; if not, it is true whatever becomes of the group.
    pub depends: bool,
}

/// What a group comes to in the journal.
pub struct LoggedRow {
    pub events: u32,
    pub newest_ms: i64,
    pub body: Vec<u8>,
    /// Of this workspace nothing is to be carried over any more.
    pub forgets: Option<WorkspaceSid>,
}

impl LoggedRow {
    pub fn as_row(&self) -> Row<'_> {
        let ends = self.forgets.as_ref().map(|workspace| &workspace.as_bytes()[..]);
        Row { events: self.events, newest_ms: self.newest_ms, body: &self.body, ends }
    }
}

impl Group {
    /// What was accepted, in order.
    pub fn events(&self) -> impl Iterator<Item = &Event> + Clone {
        self.replies.iter().flat_map(|pending| &pending.call.events).map(|(_, event)| event)
    }

    /// What the journal must keep; `None` where no event was accepted.
    pub fn logged(&self) -> Option<LoggedRow> {
        if let Some(Forget { workspace, .. }) = self.forget {
            let body = row::encode_forget(workspace, self.admitted_at);
            return Some(LoggedRow { events: 1, newest_ms: self.admitted_at.0, body, forgets: Some(workspace) });
        }
        let newest_ms = self.events().map(|event| event.at.0).max()?;
        let body = row::encode(self.events(), self.admitted_at);
        Some(LoggedRow { events: self.accepted as u32, newest_ms, body, forgets: None })
    }
}
