//! Ids as 16-byte values: two upper-case letters that name the kind, then 32 hexadecimal digits.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// The id of one kind of object. The two letters are part of the type, the 16 bytes are the value, so that two ids
/// of different kinds cannot be mixed up and upper or lower case cannot make one id look like two.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
        Self::read(text.as_bytes())
    }

    /// [`Sid::parse`] of a text that is there as bytes.
    pub fn read(text: &[u8]) -> Result<Self, MalformedSid> {
        let mut bytes = [0; 16];
        match text.strip_prefix(&[A, B]) {
            // Checked before the digits are read, since the reader takes `0x` for the beginning of a number.
            Some(digits)
                if digits.len() == 2 * bytes.len() && const_hex::decode_to_slice(digits, &mut bytes).is_ok() =>
            {
                Ok(Self(bytes))
            }
            _ => Err(MalformedSid([A, B])),
        }
    }

    /// The printed form, as bytes.
    pub fn text(&self) -> [u8; 34] {
        let mut text = [0; 34];
        (text[0], text[1]) = (A, B);
        text[2..].copy_from_slice(const_hex::Buffer::<16>::new().format(&self.0).as_bytes());
        text
    }

    /// Whether `text` is a sid of this kind; channel filters take a sid or a name.
    pub fn matches(text: &str) -> bool {
        Self::parse(text).is_ok()
    }
}

// As one number rather than as a list of bytes, which would be hashed with its length and compared by a call.
impl<const A: u8, const B: u8> Hash for Sid<A, B> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.0));
    }
}

impl<const A: u8, const B: u8> Ord for Sid<A, B> {
    /// That of the bytes, and so that of the printed forms.
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl<const A: u8, const B: u8> PartialOrd for Sid<A, B> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const A: u8, const B: u8> fmt::Display for Sid<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
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
    fn every_byte_at_every_place_is_read_as_the_standard_library_reads_it() {
        let sound = *b"WT0123456789abcdefABCDEF9876543210";
        for place in 2..sound.len() {
            for byte in 0..=0x7f {
                let mut text = sound;
                text[place] = byte;
                let text = std::str::from_utf8(&text).unwrap();
                let digits = text[2..].bytes().all(|byte| byte.is_ascii_hexdigit());
                let expected = digits.then(|| u128::from_str_radix(&text[2..], 16).unwrap().to_be_bytes());
                assert_eq!(TaskSid::parse(text).ok().map(|sid| sid.0), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn the_order_is_that_of_the_printed_forms() {
        let texts = [
            "WT00000000000000000000000000000001",
            "WT0100000000000000000000000000007f",
            "WTff000000000000000000000000000000",
        ];
        let sids = texts.map(|text| TaskSid::parse(text).unwrap());
        assert!(sids.is_sorted() && sids[0] < sids[1] && sids[1] < sids[2]);
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
            "WT0x23456789abcdef0123456789abcdef",
            "WT0x0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(TaskSid::parse(text), Err(MalformedSid(*b"WT")), "{text:?}");
        }
        assert_eq!(MalformedSid(*b"WT").to_string(), "must be WT followed by 32 hexadecimal digits");
    }
}
