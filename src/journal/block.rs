//! Several rows in one, compressed, their boundaries kept.
//!
//! A block's body is the length of what is packed (4 bytes, little-endian), then one zstd frame of: the number of
//! rows (4 bytes), for each its events (4), newest timestamp (8) and length (4), and their bodies one after another.

use std::ops::ControlFlow;

use zstd::bulk::Compressor;

use super::{MAX_BODY_BYTES, Record, Row, error::Damage, tile::Codec, tile::Header};

/// Level 3 packs encoded events nearly as well as the levels ten times slower. At the sizes of a block its window
/// spans the whole of it.
const LEVEL: i32 = 3;

/// For a row that is packed as it is appended, while its senders wait: four times as fast as level 3, and a twelfth larger
/// than packed with its neighbours later.
const AT_ONCE_LEVEL: i32 = -3;

/// Rows of at least so many bytes are packed at once. They are long enough to be packed well alone, and need not be read,
/// written and deleted again when they have grown old.
pub(super) const AT_ONCE_BYTES: usize = 16 << 10;

const ENTRY_BYTES: usize = 16;

/// One row of the longest body, or [`super::age::BLOCK_SIZE`] of shorter ones, with their table.
const MOST_PLAIN_BYTES: usize = MAX_BODY_BYTES + (64 << 10);

const _: () = assert!(4 + super::age::BLOCK_SIZE.rows * ENTRY_BYTES <= 64 << 10, "the table has room beside the body");

/// A row of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    events: u32,
    newest_ms: i64,
    bytes: u32,
}

/// Rows gathered for one block.
#[derive(Debug, Default)]
pub(super) struct Packer {
    entries: Vec<Entry>,
    bodies: Vec<u8>,
}

impl Packer {
    pub(super) fn push(&mut self, record: Record<'_>) {
        let bytes = u32::try_from(record.body.len());
        let bytes = bytes.unwrap_or_else(|_| panic!("a body of {} bytes, at most {MAX_BODY_BYTES}", record.body.len()));
        self.entries.push(Entry { events: record.events, newest_ms: record.newest_ms, bytes });
        self.bodies.extend_from_slice(record.body);
    }

    /// The block's body.
    pub(super) fn pack(&self) -> std::io::Result<Vec<u8>> {
        pack(&self.entries, &self.bodies, &mut Compressor::new(LEVEL)?)
    }
}

fn pack(entries: &[Entry], bodies: &[u8], compressor: &mut Compressor<'_>) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(4 + entries.len() * ENTRY_BYTES + bodies.len());
    plain.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for Entry { events, newest_ms, bytes } in entries {
        plain.extend_from_slice(&events.to_le_bytes());
        plain.extend_from_slice(&newest_ms.to_le_bytes());
        plain.extend_from_slice(&bytes.to_le_bytes());
    }
    plain.extend_from_slice(bodies);
    let mut body = (plain.len() as u32).to_le_bytes().to_vec();
    body.append(&mut compressor.compress(&plain)?);
    Ok(body)
}

/// Packs rows as they are appended.
pub(super) struct Press(Compressor<'static>);

impl Press {
    pub(super) fn new() -> std::io::Result<Press> {
        Compressor::new(AT_ONCE_LEVEL).map(Press)
    }

    /// The row's body as a block of its own, if that is shorter.
    pub(super) fn pack(&mut self, row: &Row<'_>) -> Option<Vec<u8>> {
        let entry = Entry { events: row.events, newest_ms: row.newest_ms, bytes: row.body.len() as u32 };
        // A row that cannot be packed is as good as it is.
        let packed = pack(&[entry], row.body, &mut self.0).ok()?;
        (packed.len() < row.body.len()).then_some(packed)
    }
}

/// An uncompressed row as a record.
pub(super) fn record<'a>(header: &Header, body: &'a [u8]) -> Result<Record<'a>, Damage> {
    let damage = Damage::Header { first: header.first.cast_signed() };
    let events = u32::try_from(header.events).map_err(|_| damage)?;
    Ok(Record { first: header.first, events, newest_ms: header.newest_ms, body })
}

/// A block taken apart: its rows add up to its header.
#[derive(Debug)]
pub(super) struct Unpacked {
    first: u64,
    entries: Vec<Entry>,
    plain: Vec<u8>,
}

/// Takes a block apart, whose checksum the caller has checked.
pub(super) fn unpack(header: &Header, body: &[u8]) -> Result<Unpacked, Damage> {
    try_unpack(header, body).ok_or(Damage::Block { first: header.first, last: header.last() })
}

fn try_unpack(header: &Header, body: &[u8]) -> Option<Unpacked> {
    let (length, packed) = body.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    // Room is made for what it says, so it must not say more than a block can hold.
    if length > MOST_PLAIN_BYTES {
        return None;
    }
    let plain = zstd::bulk::decompress(packed, length).ok().filter(|plain| plain.len() == length)?;
    let (count, rest) = plain.split_first_chunk()?;
    let count = u32::from_le_bytes(*count) as usize;
    let (table, bodies) = rest.split_at_checked(count.checked_mul(ENTRY_BYTES)?)?;
    let entries: Vec<Entry> = table.as_chunks::<ENTRY_BYTES>().0.iter().map(entry).collect();
    let events: u64 = entries.iter().map(|e| u64::from(e.events)).sum();
    let bytes: u64 = entries.iter().map(|e| u64::from(e.bytes)).sum();
    let newest_ms = entries.iter().map(|e| e.newest_ms).max()?;
    let adds_up = (events, bytes, newest_ms) == (header.events, bodies.len() as u64, header.newest_ms);
    adds_up.then_some(Unpacked { first: header.first, entries, plain })
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> Entry {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
    Entry {
        events: u32::from_le_bytes([a, b, c, d]),
        newest_ms: i64::from_le_bytes([e, f, g, h, i, j, k, l]),
        bytes: u32::from_le_bytes([m, n, o, p]),
    }
}

/// Hands out the rows of a block on its own, as reading the log does.
pub fn read(
    (first, events, newest_ms): (u64, u64, i64),
    body: &[u8],
    each: &mut dyn FnMut(Record<'_>),
) -> Result<(), Damage> {
    let header = Header::new(first, events, newest_ms, Codec::Block, body);
    let _to_the_end = unpack(&header, body)?.each_from(first, &mut |record| {
        each(record);
        ControlFlow::Continue(())
    });
    Ok(())
}

impl Unpacked {
    /// Whether these are the rows that were packed.
    pub(super) fn holds(&self, packer: &Packer) -> bool {
        self.entries == packer.entries && self.bodies() == packer.bodies
    }

    fn bodies(&self) -> &[u8] {
        &self.plain[4 + self.entries.len() * ENTRY_BYTES..]
    }

    /// Hands out the rows that reach `wanted` or beyond.
    pub(super) fn each_from(
        &self,
        wanted: u64,
        each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut first = self.first;
        let mut rest = self.bodies();
        for Entry { events, newest_ms, bytes } in &self.entries {
            let (body, after) = rest.split_at(*bytes as usize);
            rest = after;
            let record = Record { first, events: *events, newest_ms: *newest_ms, body };
            first += u64::from(*events);
            if record.last() >= wanted {
                each(record)?;
            }
        }
        ControlFlow::Continue(())
    }
}
