//! Whole numbers in as many bytes as they need, for checkpoint sections.

/// Called with the bytes of a large section so far, which it may take away: so the section never lies in memory whole.
pub type Spill<'a> = dyn FnMut(&mut Vec<u8>) + 'a;

/// The bytes are not what an `encode` wrote: cut short, altered, or of another version. The caller falls back to
/// an older checkpoint or to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged checkpoint section: {0}")]
pub struct Damaged(pub &'static str);

/// Seven bits a byte, lowest first; the high bit says that more follow.
pub(in crate::engine) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(in crate::engine) fn take(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if index == 9 && byte > 1 {
            break;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(Damaged("a number is cut short or too long"))
}

/// Signed numbers near 0 stay short: 0, -1, 1, -2, ... are 0, 1, 2, 3, ...
pub(in crate::engine) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(in crate::engine) fn take_signed(bytes: &mut &[u8]) -> Result<i64, Damaged> {
    let value = take(bytes)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

/// A number that must not be above `max`.
pub(in crate::engine) fn take_up_to(bytes: &mut &[u8], max: u64) -> Result<u64, Damaged> {
    let value = take(bytes)?;
    if value > max { Err(Damaged("a number is out of its range")) } else { Ok(value) }
}

/// How many items follow: each takes at least `item_bytes` (1 or more), so that a count which the rest of the bytes
/// cannot hold is refused before anything is allocated for it.
pub(in crate::engine) fn take_count(bytes: &mut &[u8], item_bytes: usize) -> Result<usize, Damaged> {
    let count = take(bytes)?;
    let room = (bytes.len() / item_bytes) as u64;
    if count > room { Err(Damaged("more items announced than bytes left")) } else { Ok(count as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            out.push(0xff);
            let mut bytes = &out[..];
            assert_eq!(take(&mut bytes), Ok(value));
            assert_eq!(bytes, [0xff]);
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            assert_eq!(take_signed(&mut &out[..]), Ok(value));
        }
    }

    #[test]
    fn what_is_no_number_is_damaged() {
        for bytes in [&[][..], &[0x80], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert!(take(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
        assert!(take_up_to(&mut &[5][..], 4).is_err());
        assert!(take_count(&mut &[3, 0, 0][..], 1).is_err());
        assert_eq!(take_count(&mut &[2, 0, 0][..], 1), Ok(2));
    }
}
