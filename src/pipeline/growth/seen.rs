//! What the events of a group name again and again.

use crate::event::{ActivitySid, ChannelSid, Name};

/// A power of two.
const PLACES: usize = 8;

/// Channels and activities that an accepted event of the group has named, so that they are known or claimed already: a
/// few of them, which nearly all of its events name. The default bounds of channels and activities are so low that every
/// group is near them, and most looks end here.
#[derive(Default)]
pub struct Seen {
    channels: [Option<(Name, Option<ChannelSid>)>; PLACES],
    activities: [Option<ActivitySid>; PLACES],
}

impl Seen {
    /// Whether the name was named, and with this sid if there is one.
    pub fn has_channel(&self, name: &Name, sid: Option<ChannelSid>) -> bool {
        let seen = self.channels[place(name.as_bytes())].as_ref();
        seen.is_some_and(|(seen, with)| seen == name && (sid.is_none() || *with == sid))
    }

    pub fn note_channel(&mut self, name: &Name, sid: Option<ChannelSid>) {
        self.channels[place(name.as_bytes())] = Some((name.clone(), sid));
    }

    pub fn has_activity(&self, sid: ActivitySid) -> bool {
        self.activities[place(sid.as_bytes())] == Some(sid)
    }

    pub fn note_activity(&mut self, sid: ActivitySid) {
        self.activities[place(sid.as_bytes())] = Some(sid);
    }
}

fn place(bytes: &[u8]) -> usize {
    let last = bytes.last().copied().unwrap_or_default();
    (usize::from(last) ^ bytes.len()) % PLACES
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

    #[test]
    fn activities_that_share_a_place_are_told_apart() {
        let [one, other] = [1, 1 + PLACES as u8].map(|byte| ActivitySid::from_bytes([byte; 16]));
        let mut seen = Seen::default();
        seen.note_activity(one);
        assert!(seen.has_activity(one) && !seen.has_activity(other));
        seen.note_activity(other);
        assert!(seen.has_activity(other) && !seen.has_activity(one));
    }
}
