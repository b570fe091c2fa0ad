//! When a group went through, for its calls that are traced. Where none is, no clock is read.

use std::sync::Arc;
use std::time::Instant;

use super::group::Group;
use crate::trace::passage::{self, Append, Noted, Passage};

/// A group with a traced call, between its sync and its answer.
pub struct Followed {
    append: Option<Append>,
    durable: Instant,
    applied: Instant,
}

impl Followed {
    /// The group is on disk; `None` where nobody wants to know.
    pub fn begin(group: &Group, append: Option<Append>) -> Option<Followed> {
        passages(group).next()?;
        let durable = Instant::now();
        Some(Followed { append, durable, applied: durable })
    }

    pub fn applied(&mut self) {
        self.applied = Instant::now();
    }

    /// Notes it for each call that is traced, before it is answered.
    pub fn published(self, group: &Group) {
        let Followed { append, durable, applied } = self;
        let (calls, events, marks) = (group.replies.len(), group.accepted, Passage::marks(passages(group)));
        let together = passage::Group { calls, events, marks };
        let noted = Noted { group: together, append, durable, applied, published: Instant::now() };
        passages(group).for_each(|passage| passage.note(noted.clone()));
    }
}

fn passages(group: &Group) -> impl Iterator<Item = &Arc<Passage>> {
    group.replies.iter().filter_map(|pending| pending.call.passage.as_ref())
}
