//! Growing old in slices: rows are compressed into blocks, then dropped whole. Each call is one short transaction,
//! so that ingest waits for one slice at most.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::{
    AppendError, Damage, Journal, ReadError,
    block::{self, Packer},
    error::Trouble,
    tile::{Census, Codec, Gap, Gone, HEADER_COLUMNS, Header},
};

/// What one block packs at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSize {
    /// Bytes of the bodies that go in, unless one row alone has more.
    pub(super) bytes: u64,
    pub(super) rows: usize,
}

/// Some 10 ms of work.
pub(super) const BLOCK_SIZE: BlockSize = BlockSize { bytes: 1 << 20, rows: 1024 };

/// How far the newest timestamps of a block's rows may lie apart. A block goes when its newest row may go, so this is
/// how long the others outstay; late imports between live rows get blocks of their own.
const BLOCK_SPREAD_MS: u64 = 6 * 60 * 60 * 1000;

/// Which rows are old enough to be compressed. Rows go in order of position, and only in full blocks.
#[derive(Clone, Copy, Debug)]
pub struct Compression {
    /// Rows whose newest event is older than this, in milliseconds since 1970.
    pub older_than_ms: i64,
    /// Whatever their age, the oldest rows while more bytes than this are not compressed.
    pub tail_bytes: u64,
}

impl Journal {
    /// Whether [`Journal::drop_rows`] would find something. Costs nothing while no row at all is that old;
    /// otherwise it looks at headers in order until it finds one.
    pub fn droppable(&mut self, newest_before_ms: i64, upto: u64) -> Result<bool, ReadError> {
        if newest_before_ms <= self.census.oldest_ms {
            return Ok(false);
        }
        let found = old_headers(&self.db, newest_before_ms, upto, 1, &self.unreadable);
        found.map(|old| !old.is_empty()).map_err(|trouble| trouble.on_read(self.file.clone()))
    }

    /// Drops up to `at_most` rows of which every event is older than `newest_before_ms` and at or before position
    /// `upto`; answers how many. Their positions stay recorded as dropped. What must outlive them has to be in the
    /// carry-over before.
    ///
    /// A row that cannot be read stays, since its pages are not known: after the error the next calls leave it out.
    ///
    /// Not synced on return: a power cut may bring rows back, and the next call drops them again.
    pub fn drop_rows(&mut self, newest_before_ms: i64, upto: u64, at_most: usize) -> Result<usize, AppendError> {
        if newest_before_ms <= self.census.oldest_ms || at_most == 0 {
            return Ok(0);
        }
        // Headers, leaves and the list of free pages; what bodies lay in is not written.
        let bytes = 2 * at_most as u64 * u64::from(self.settings.page_bytes);
        let (mut left_out, mut last) = (std::mem::take(&mut self.unreadable), None);
        let dropped = self.unsynced("drop rows", bytes, |db, _, census| {
            let old = old_headers(db, newest_before_ms, upto, at_most, &left_out)?;
            for run in old.chunk_by(|a, b| a.last() + 1 == b.first) {
                for header in run {
                    last = Some(header.first);
                    header.delete(db)?;
                    census.discount(header);
                }
                let (Some(from), Some(to)) = (run.first(), run.last()) else { continue };
                Gap { first: from.first, last: to.last(), gone: Gone::Dropped }.record(db)?;
            }
            if old.len() < at_most {
                // Nothing of that age is left before `upto`: now it pays to know the bound exactly.
                let oldest: Option<i64> =
                    db.prepare_cached("SELECT min(newest_ms) FROM headers")?.query_row([], |row| row.get(0))?;
                census.oldest_ms = oldest.unwrap_or(i64::MAX);
            }
            last = None;
            Ok(old.len())
        });
        if let (Some(first), Err(AppendError::Damaged(_))) = (last, &dropped) {
            left_out.insert(first);
        }
        self.unreadable = left_out;
        dropped
    }

    /// Packs one run of old rows into one block; answers whether there was a full one. Call again until it says no,
    /// then not for a while: finding out that the run is not full yet may look at a thousand headers.
    ///
    /// Every source row is checked before, and the block is unpacked and compared before its sources go. After damage
    /// the next call goes on behind the row that has it. Not synced on return: a power cut brings the sources back, whole.
    pub fn compress(&mut self, policy: Compression) -> Result<bool, AppendError> {
        self.be_ready()?;
        let run = match old_run(&self.db, self.census, policy, self.settings.block) {
            Ok(run) if run.is_empty() => return Ok(false),
            Ok(run) => run,
            Err(trouble) => return Err(self.settle("find rows to compress", 0, trouble)),
        };
        let bytes = run.iter().map(|header| header.bytes).sum();
        let mut last = None;
        let compressed = self.unsynced("compress rows", bytes, |db, _, census| {
            let packed = pack(db, &run, &mut last)?;
            for header in &run {
                header.delete(db)?;
                census.discount(header);
            }
            let (header, body) = packed;
            header.insert(db, &body)?;
            census.count(&header);
            census.raw_from = header.last() + 1;
            Ok(true)
        });
        if let (Some(last), Err(AppendError::Damaged(_))) = (last, &compressed) {
            self.census.raw_from = last + 1;
        }
        compressed
    }
}

/// Rows that may be dropped, in order, but those that begin at these positions.
fn old_headers(
    db: &Connection,
    before_ms: i64,
    upto: u64,
    at_most: usize,
    left_out: &BTreeSet<u64>,
) -> Result<Vec<Header>, Trouble> {
    let upto = i64::try_from(upto).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT {HEADER_COLUMNS} FROM headers WHERE newest_ms < ?1 AND first + events - 1 <= ?2 ORDER BY first"
    );
    let mut found = db.prepare_cached(&sql)?;
    let mut rows = found.query((before_ms, upto))?;
    let mut old = Vec::new();
    while old.len() < at_most
        && let Some(row) = rows.next()?
    {
        let header = Header::from_sql(row)?;
        if !left_out.contains(&header.first) {
            old.push(header);
        }
    }
    Ok(old)
}

/// The first rows not compressed yet, as many as one block takes; none if they are too new or too few.
fn old_run(db: &Connection, census: Census, policy: Compression, size: BlockSize) -> Result<Vec<Header>, Trouble> {
    let sql = format!("SELECT {HEADER_COLUMNS} FROM headers WHERE first >= ?1 ORDER BY first");
    let mut found = db.prepare_cached(&sql)?;
    let mut rows = found.query([census.raw_from.cast_signed()])?;
    let mut run: Vec<Header> = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let header = Header::from_sql(row)?;
        let Some(previous) = run.last() else {
            if header.codec == Codec::Block {
                continue;
            }
            if header.newest_ms >= policy.older_than_ms && census.raw_bytes <= policy.tail_bytes {
                return Ok(run);
            }
            bytes = header.bytes;
            run.push(header);
            continue;
        };
        let fits = header.codec == Codec::Raw
            && header.first == previous.last() + 1
            && header.newest_ms.abs_diff(run[0].newest_ms) <= BLOCK_SPREAD_MS
            && run.len() < size.rows
            && bytes + header.bytes <= size.bytes;
        if !fits {
            return Ok(run);
        }
        bytes += header.bytes;
        run.push(header);
    }
    // The log ends here: the block waits for more rows, so that slow days do not leave a block for each row.
    if bytes < size.bytes / 2 && run.len() < size.rows / 2 {
        run.clear();
    }
    Ok(run)
}

/// Notes where the row ends that it is about to read, and nothing once it has read them all.
fn pack(db: &Connection, run: &[Header], reading: &mut Option<u64>) -> Result<(Header, Vec<u8>), Trouble> {
    let mut packer = Packer::default();
    let mut body_of = db.prepare_cached("SELECT body FROM bodies WHERE first = ?1")?;
    for header in run {
        let (first, last) = (header.first, header.last());
        *reading = Some(last);
        let body: Option<Vec<u8>> =
            body_of.query_row([first.cast_signed()], |row| row.get(0)).optional().map_err(Trouble::from)?;
        let body = body.ok_or(Damage::NoBody { first, last })?;
        header.check_body(&body)?;
        packer.push(block::record(header, &body)?);
    }
    *reading = None;
    let (Some(from), Some(to)) = (run.first(), run.last()) else { unreachable!("a run of {} rows", run.len()) };
    let body = packer.pack().map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let newest_ms = run.iter().map(|h| h.newest_ms).max().unwrap_or(from.newest_ms);
    let header = Header::new(from.first, to.last() - from.first + 1, newest_ms, Codec::Block, &body);
    if !block::unpack(&header, &body)?.holds(&packer) {
        return Err(Damage::Block { first: header.first, last: header.last() }.into());
    }
    Ok((header, body))
}
