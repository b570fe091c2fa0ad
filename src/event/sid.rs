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
        Self::read(text.as_bytes())
    }

    /// [`Sid::parse`] of a text that is there as bytes.
    pub fn read(text: &[u8]) -> Result<Self, MalformedSid> {
        let malformed = MalformedSid([A, B]);
        if text.len() != Self::TEXT_LEN || text[0] != A || text[1] != B {
            return Err(malformed);
        }
        let mut bytes = [0; 16];
        let mut good = HIGH_BITS;
        for (four, digits) in bytes.as_chunks_mut().0.iter_mut().zip(text[2..].as_chunks().0) {
            let (read, are_digits) = eight_digits(*digits);
            *four = read;
            good &= are_digits;
        }
        // One branch for the whole sid.
        if good == HIGH_BITS { Ok(Self(bytes)) } else { Err(malformed) }
    }

    /// Whether `text` is a sid of this kind; channel filters take a sid or a name.
    pub fn matches(text: &str) -> bool {
        Self::parse(text).is_ok()
    }
}

const HIGH_BITS: u64 = each(0x80);

/// Eight bytes alike.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Reads eight hexadecimal digits at once: an event has some ten sids, and reading them one digit at a time was a quarter
/// of what decoding it took. The second answer has the high bit of each byte that is a digit.
///
/// A byte without its high bit is at least `n` where adding `0x80 - n` sets that bit.
fn eight_digits(text: [u8; 8]) -> ([u8; 4], u64) {
    let text = u64::from_le_bytes(text);
    let ascii = text & !HIGH_BITS;
    let lower = ascii | each(0x20);
    let is_decimal = (ascii + each(0x80 - b'0')) & !(ascii + each(0x7f - b'9'));
    let is_letter = (lower + each(0x80 - b'a')) & !(lower + each(0x7f - b'f'));
    let values = (text & each(0x0f)) + ((text >> 6) & each(1)) * 9;
    // The first digit of a pair is in the lower byte, since it is read as little-endian.
    let bytes = ((values << 4) | (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let halves = (bytes | (bytes >> 8)) & 0x0000_ffff_0000_ffff;
    let read = (halves | (halves >> 16)) as u32;
    (read.to_le_bytes(), (is_decimal | is_letter) & !text & HIGH_BITS)
}

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
