//! The small columns of the log: headers of rows, ranges that are gone, the end; and the check that they tile.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::error::{Damage, Trouble};

/// The last position there can ever be: room above, so that sums of positions cannot overflow.
pub(super) const MAX_POSITION: u64 = i64::MAX as u64 / 2;

/// Whether a log can hold something at `first..=last`. What is read is asked so before anything is reckoned with it.
pub(super) fn are_positions(first: u64, last: u64) -> bool {
    0 < first && first <= last && last <= MAX_POSITION
}

/// How a row's body is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// As it was appended.
    Raw,
    /// One long row, or several in one, compressed ([`super::block`]).
    Block,
}

/// All that is known of a row without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first: u64,
    pub(super) events: u64,
    pub(super) newest_ms: i64,
    pub(super) codec: Codec,
    pub(super) bytes: u64,
    pub(super) body_sum: u64,
}

/// The columns that [`Header::from_sql`] takes, in order.
pub(super) const HEADER_COLUMNS: &str = "first, events, newest_ms, codec, bytes, body_sum, sum";

impl Header {
    pub(super) fn new(first: u64, events: u64, newest_ms: i64, codec: Codec, body: &[u8]) -> Self {
        assert!(events > 0, "a row at {first} without events ({events})");
        Self { first, events, newest_ms, codec, bytes: body.len() as u64, body_sum: xxh3_64(body) }
    }

    pub(super) fn last(&self) -> u64 {
        self.first + self.events - 1
    }

    /// Two checksums, so that opening can trust every header without reading a body: this one over the header,
    /// the body's among it.
    pub(super) fn sum(&self) -> u64 {
        sum(b"header", &[self.first, self.events, self.newest_ms as u64, self.codec as u64, self.bytes, self.body_sum])
    }

    pub(super) fn from_sql(row: &SqlRow<'_>) -> Result<Self, Trouble> {
        let first: i64 = row.get(0)?;
        let codec = match row.get(3)? {
            0 => Codec::Raw,
            1 => Codec::Block,
            _ => return Err(Damage::Header { first }.into()),
        };
        let header = Self {
            first: first.cast_unsigned(),
            events: row.get::<_, i64>(1)?.cast_unsigned(),
            newest_ms: row.get(2)?,
            codec,
            bytes: row.get::<_, i64>(4)?.cast_unsigned(),
            body_sum: row.get::<_, i64>(5)?.cast_unsigned(),
        };
        let is_sound = row.get::<_, i64>(6)?.cast_unsigned() == header.sum();
        let last = header.first.saturating_add(header.events.saturating_sub(1));
        if !is_sound || header.events == 0 || !are_positions(header.first, last) {
            return Err(Damage::Header { first }.into());
        }
        Ok(header)
    }

    /// That these are the bytes the header was made for.
    pub(super) fn check_body(&self, body: &[u8]) -> Result<(), Damage> {
        if body.len() as u64 == self.bytes && xxh3_64(body) == self.body_sum {
            return Ok(());
        }
        Err(Damage::Body { first: self.first, last: self.last() })
    }

    pub(super) fn insert(&self, db: &Connection, body: &[u8]) -> rusqlite::Result<()> {
        db.prepare_cached("INSERT INTO headers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute((
            self.first.cast_signed(),
            self.events.cast_signed(),
            self.newest_ms,
            self.codec as i64,
            self.bytes.cast_signed(),
            self.body_sum.cast_signed(),
            self.sum().cast_signed(),
        ))?;
        db.prepare_cached("INSERT INTO bodies VALUES (?1, ?2)")?.execute((self.first.cast_signed(), body))?;
        Ok(())
    }

    pub(super) fn delete(&self, db: &Connection) -> Result<(), Trouble> {
        let first = self.first.cast_signed();
        let headers = db.prepare_cached("DELETE FROM headers WHERE first = ?1")?.execute([first])?;
        let bodies = db.prepare_cached("DELETE FROM bodies WHERE first = ?1")?.execute([first])?;
        if (headers, bodies) == (1, 1) {
            return Ok(());
        }
        Err(Damage::NoBody { first: self.first, last: self.last() }.into())
    }
}

/// Why positions are not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// Past the retention.
    Dropped,
    /// Never found again: a checkpoint knew of them, the log did not.
    Lost,
}

/// Positions without rows, `first..=last`. Neighbours of one kind are one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) gone: Gone,
}

impl Gap {
    fn sum(&self) -> u64 {
        sum(b"gap", &[self.first, self.last, self.gone as u64])
    }

    pub(super) fn from_sql(row: &SqlRow<'_>) -> Result<Self, Trouble> {
        let first: i64 = row.get(0)?;
        let gone = match row.get(2)? {
            0 => Gone::Dropped,
            1 => Gone::Lost,
            _ => return Err(Damage::Gap { first }.into()),
        };
        let gap = Self { first: first.cast_unsigned(), last: row.get::<_, i64>(1)?.cast_unsigned(), gone };
        if row.get::<_, i64>(3)?.cast_unsigned() != gap.sum() || !are_positions(gap.first, gap.last) {
            return Err(Damage::Gap { first }.into());
        }
        Ok(gap)
    }

    /// The gap that begins at a position.
    pub(super) fn at(db: &Connection, first: u64) -> Result<Option<Self>, Trouble> {
        let mut found = db.prepare_cached("SELECT first, last, gone, sum FROM gaps WHERE first = ?1")?;
        let mut rows = found.query([first.cast_signed()])?;
        rows.next()?.map(Self::from_sql).transpose()
    }

    /// The gap that begins at or before a position, whichever is nearest.
    pub(super) fn before(db: &Connection, position: u64) -> Result<Option<Self>, Trouble> {
        let sql = "SELECT first, last, gone, sum FROM gaps WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
        let mut found = db.prepare_cached(sql)?;
        let mut rows = found.query([position.cast_signed()])?;
        rows.next()?.map(Self::from_sql).transpose()
    }

    /// Records the range, as one with the neighbours that went the same way.
    pub(super) fn record(mut self, db: &Connection) -> Result<(), Trouble> {
        if let Some(left) = Self::before(db, self.first)? {
            if left.last >= self.first {
                return Err(Damage::Overlap { first: self.first, last: left.last.min(self.last) }.into());
            }
            if left.last + 1 == self.first && left.gone == self.gone {
                self.first = left.first;
            }
        }
        if let Some(right) = Self::at(db, self.last + 1)?
            && right.gone == self.gone
        {
            db.prepare_cached("DELETE FROM gaps WHERE first = ?1")?.execute([right.first.cast_signed()])?;
            self.last = right.last;
        }
        db.prepare_cached("INSERT OR REPLACE INTO gaps VALUES (?1, ?2, ?3, ?4)")?.execute((
            self.first.cast_signed(),
            self.last.cast_signed(),
            self.gone as i64,
            self.sum().cast_signed(),
        ))?;
        Ok(())
    }
}

/// What no row of its own can witness: where the log ends, and what its carry-over adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) end: u64,
    pub(super) carries: u64,
    /// All carry-over checksums, combined by exclusive or, so that order does not matter.
    pub(super) carry_digest: u64,
}

impl Tail {
    fn sum(&self) -> u64 {
        sum(b"tail", &[self.end, self.carries, self.carry_digest])
    }

    pub(super) fn load(db: &Connection) -> Result<Self, Trouble> {
        let sql = "SELECT last, carries, carry_digest, sum FROM tail WHERE id = 1";
        let found: Option<[i64; 4]> = db
            .prepare_cached(sql)?
            .query_row([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
            .optional()?;
        let Some([end, carries, carry_digest, sum]) = found.map(|row| row.map(i64::cast_unsigned)) else {
            return Err(Damage::Single { what: "end" }.into());
        };
        let tail = Self { end, carries, carry_digest };
        if sum != tail.sum() || end > MAX_POSITION {
            return Err(Damage::Single { what: "end" }.into());
        }
        Ok(tail)
    }

    pub(super) fn store(&self, db: &Connection) -> rusqlite::Result<()> {
        db.prepare_cached("INSERT OR REPLACE INTO tail VALUES (1, ?1, ?2, ?3, ?4)")?.execute([
            self.end.cast_signed(),
            self.carries.cast_signed(),
            self.carry_digest.cast_signed(),
            self.sum().cast_signed(),
        ])?;
        Ok(())
    }
}

/// What the headers add up to; kept beside the log from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) rows: u64,
    /// Bytes of bodies as stored.
    pub(super) body_bytes: u64,
    /// Bytes of bodies not compressed yet.
    pub(super) raw_bytes: u64,
    /// No uncompressed row begins before, but such as were found damaged.
    pub(super) raw_from: u64,
    /// No row's newest event is older. A bound, exact after [`Census::take`].
    pub(super) oldest_ms: i64,
    /// Likewise: no row has a newer event.
    pub(super) newest_ms: i64,
    /// Positions that were lost, not dropped.
    pub(super) lost: u64,
}

impl Census {
    /// Reads every header and gap, in order, and refuses unless they tile `1..=end`.
    ///
    /// Bodies are in another table, so this reads some 50 bytes a row: 10,000 rows are half a megabyte.
    pub(super) fn take(db: &Connection, end: u64) -> Result<Self, Trouble> {
        let mut census = Self {
            rows: 0,
            body_bytes: 0,
            raw_bytes: 0,
            raw_from: end + 1,
            oldest_ms: i64::MAX,
            newest_ms: i64::MIN,
            lost: 0,
        };
        let mut gaps = db.prepare_cached("SELECT first, last, gone, sum FROM gaps ORDER BY first")?;
        let mut gaps = gaps.query([])?;
        let mut gap = gaps.next()?.map(Gap::from_sql).transpose()?;
        let mut headers = db.prepare_cached(&format!("SELECT {HEADER_COLUMNS} FROM headers ORDER BY first"))?;
        let mut headers = headers.query([])?;
        let mut header = headers.next()?.map(Header::from_sql).transpose()?;
        let mut next = 1;
        loop {
            let (first, last) = match (&header, &gap) {
                (Some(h), Some(g)) if g.first < h.first => (g.first, g.last),
                (Some(h), _) => (h.first, h.last()),
                (None, Some(g)) => (g.first, g.last),
                (None, None) => break,
            };
            check_next(next, first, last, end)?;
            next = last + 1;
            if let Some(h) = header.filter(|h| h.first == first) {
                census.count(&h);
                header = headers.next()?.map(Header::from_sql).transpose()?;
            } else if let Some(g) = gap {
                census.lost += if g.gone == Gone::Lost { g.last - g.first + 1 } else { 0 };
                gap = gaps.next()?.map(Gap::from_sql).transpose()?;
            }
        }
        if next != end + 1 {
            return Err(Damage::Missing { first: next, last: end }.into());
        }
        Ok(census)
    }

    /// Adds a row.
    pub(super) fn count(&mut self, header: &Header) {
        self.rows += 1;
        self.body_bytes += header.bytes;
        self.oldest_ms = self.oldest_ms.min(header.newest_ms);
        self.newest_ms = self.newest_ms.max(header.newest_ms);
        if header.codec == Codec::Raw {
            self.raw_bytes += header.bytes;
            self.raw_from = self.raw_from.min(header.first);
        } else if self.raw_from == header.first {
            self.raw_from = header.last() + 1;
        }
    }

    /// Takes a row away. The bounds stay bounds.
    pub(super) fn discount(&mut self, header: &Header) {
        self.rows -= 1;
        self.body_bytes -= header.bytes;
        self.raw_bytes -= if header.codec == Codec::Raw { header.bytes } else { 0 };
    }
}

/// That `first..=last` continues a sequence whose next position is `next` and which ends at `end`.
pub(super) fn check_next(next: u64, first: u64, last: u64, end: u64) -> Result<(), Damage> {
    if first > next {
        return Err(Damage::Missing { first: next, last: (first - 1).min(end) });
    }
    if first < next {
        return Err(Damage::Overlap { first, last: last.min(next - 1) });
    }
    if last > end {
        return Err(Damage::Beyond { first, last, end });
    }
    Ok(())
}

/// A checksum over numbers, different for each kind of record, so that one cannot pass for another.
pub(super) fn sum(kind: &[u8], numbers: &[u64]) -> u64 {
    numbers.iter().fold(xxh3_64(kind), |seed, number| xxh3_64_with_seed(&number.to_le_bytes(), seed))
}
