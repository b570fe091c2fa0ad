//! Ids as 16-byte values: two upper-case letters that name the kind, then 32 hexadecimal digits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The id of one kind of object. The two letters are part of the type, the 16 bytes are the value, so that two ids
/// of different kinds cannot be mixed up and upper or lower case cannot make one id look like two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sid<const A: u8, const B: u8>([u8; 16]);

pub type AccountSid = Sid<b'A', b'C'>;
pub type ActivitySid = Sid<b'W', b'A'>;
pub type ChannelSid = Sid<b'T', b'C'>;
pub type EventSid = Sid<b'E', b'V'>;
pub type QueueSid = Sid<b'W', b'Q'>;
pub type ReservationSid = Sid<b'W', b'R'>;
pub type TaskSid = Sid<b'W', b'T'>;
pub type WorkerSid = Sid<b'W', b'K'>;
pub type WorkflowSid = Sid<b'W', b'W'>;
pub type WorkspaceSid = Sid<b'W', b'S'>;

/// The text is not a sid of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {} followed by 32 hexadecimal digits", std::str::from_utf8(.0).unwrap_or("??"))]
pub struct MalformedSid([u8; 2]);

impl<const A: u8, const B: u8> Sid<A, B> {
    /// Length of the printed form, in bytes.
    pub const TEXT_LEN: usize = 34;

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the printed form. The letters must be upper case; the digits may be of either case.
    pub fn parse(text: &str) -> Result<Self, MalformedSid> {
        let malformed = MalformedSid([A, B]);
        let text = text.as_bytes();
        if text.len() != Self::TEXT_LEN || text[0] != A || text[1] != B {
            return Err(malformed);
        }
        let mut bytes = [0; 16];
        // One branch for the whole sid: a bad digit sets the high bits of `bad`.
        let mut bad = 0;
        for (byte, pair) in bytes.iter_mut().zip(text[2..].chunks_exact(2)) {
            let (high, low) = (HEX[pair[0] as usize], HEX[pair[1] as usize]);
            bad |= high | low;
            *byte = (high << 4) | (low & 0x0f);
        }
        if bad & 0xf0 != 0 { Err(malformed) } else { Ok(Self(bytes)) }
    }

    /// Whether `text` is a sid of this kind; channel filters take a sid or a name.
    pub fn matches(text: &str) -> bool {
        Self::parse(text).is_ok()
    }
}

/// The value of each hexadecimal digit; 0xf0 for every other byte.
const HEX: [u8; 256] = {
    let mut table = [0xf0; 256];
    let mut digit = 0;
    while digit < 10 {
        table[b'0' as usize + digit] = digit as u8;
        digit += 1;
    }
    let mut letter = 0;
    while letter < 6 {
        table[b'a' as usize + letter] = 10 + letter as u8;
        table[b'A' as usize + letter] = 10 + letter as u8;
        letter += 1;
    }
    table
};

impl<const A: u8, const B: u8> fmt::Display for Sid<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 34];
        text[0] = A;
        text[1] = B;
        for (pair, byte) in text[2..].chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[(byte >> 4) as usize];
            pair[1] = DIGITS[(byte & 0x0f) as usize];
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl<const A: u8, const B: u8> fmt::Debug for Sid<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_either_case_are_one_sid_printed_in_lower_case() {
        let upper = TaskSid::parse("WT0123456789ABCDEFabcdef0123456789").unwrap();
        let lower = TaskSid::parse("WT0123456789abcdefabcdef0123456789").unwrap();
        assert_eq!(upper, lower);
        assert_eq!(upper.to_string(), "WT0123456789abcdefabcdef0123456789");
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in [
            "",
            "WT",
            "WT0123456789abcdef0123456789abcde",
            "WT0123456789abcdef0123456789abcdef0",
            "wt0123456789abcdef0123456789abcdef",
            "WK0123456789abcdef0123456789abcdef",
            "WT0123456789abcdef0123456789abcdeg",
            "WT0123456789abcdef0123456789abcde/",
            "WT0123456789abcdef0123456789abcdé",
        ] {
            assert_eq!(TaskSid::parse(text), Err(MalformedSid(*b"WT")), "{text:?}");
        }
        assert_eq!(MalformedSid(*b"WT").to_string(), "must be WT followed by 32 hexadecimal digits");
    }
}
