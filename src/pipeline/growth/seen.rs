//! What the events of a group name again and again.

use crate::event::{ActivitySid, ChannelSid, Name};
use crate::pipeline::recent::Recent;

/// Channels, activities and priorities that an accepted event of the group has named, so that they are known or claimed
/// already: a few of them, which nearly all of its events name. Their default bounds are so low that every group is near
/// them, and most looks end here.
#[derive(Default)]
pub struct Seen {
    channels: Recent<Name, Option<ChannelSid>>,
    activities: Recent<[u8; 16], ()>,
    priorities: Recent<[u8; 4], ()>,
}

impl Seen {
    /// Whether the name was named, and with this sid if there is one.
    pub fn has_channel(&self, name: &Name, sid: Option<ChannelSid>) -> bool {
        self.channels.get(name).is_some_and(|with| sid.is_none() || *with == sid)
    }

    pub fn note_channel(&mut self, name: &Name, sid: Option<ChannelSid>) {
        self.channels.put(name.clone(), sid);
    }

    pub fn has_activity(&self, sid: ActivitySid) -> bool {
        self.activities.get(sid.as_bytes()).is_some()
    }

    pub fn note_activity(&mut self, sid: ActivitySid) {
        self.activities.put(*sid.as_bytes(), ());
    }

    pub fn has_priority(&self, priority: i32) -> bool {
        self.priorities.get(&priority.to_be_bytes()).is_some()
    }

    pub fn note_priority(&mut self, priority: i32) {
        self.priorities.put(priority.to_be_bytes(), ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_named_with_a_sid_is_not_named_with_another() {
        let sid = |byte: u8| Some(ChannelSid::from_bytes([byte; 16]));
        let (voice, chat) = (Name::new("voice"), Name::new("chat"));
        let mut seen = Seen::default();
        assert!(!seen.has_channel(&voice, None));
        seen.note_channel(&voice, sid(1));
        assert!(seen.has_channel(&voice, None) && seen.has_channel(&voice, sid(1)));
        assert!(!seen.has_channel(&voice, sid(2)) && !seen.has_channel(&chat, None));
        seen.note_channel(&voice, None);
        assert!(seen.has_channel(&voice, None) && !seen.has_channel(&voice, sid(1)), "the newer takes its place");
    }
}
