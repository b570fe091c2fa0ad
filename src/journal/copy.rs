//! A log copied while it is written to: out in pieces, in at another place, every checksum looked at on both sides.
//!
//! The copy is as of one position. A piece is a run of frames, which may be cut anywhere; a frame is its kind (1 byte),
//! the length of what follows (8) and a checksum over both and the content (8), then the content. Numbers are
//! little-endian. First comes the start (format, end, number and digest of the carry-overs), then carry-overs, gaps and
//! rows as they are stored, blocks as blocks, and at last an empty frame that says it is complete.
//!
//! While it goes on nobody may drop, compress or carry over, so that what is still to come stays as it is.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    AppendError, Damage, Journal, OpenError, ReadError, carry,
    error::Trouble,
    store::FORMAT,
    tile::{Census, Codec, Gap, Gone, HEADER_COLUMNS, Header, MAX_POSITION, Tail, are_positions, sum},
};

const START: u8 = 1;
const CARRY: u8 = 2;
const GAP: u8 = 3;
const ROW: u8 = 4;
const END: u8 = 5;

pub(super) const FRAME_BYTES: usize = 17;

/// The longest frame that is believed: a body with its columns.
const MOST_FRAME_BYTES: u64 = (super::MAX_BODY_BYTES + 1024) as u64;

/// How far a copy out has come.
#[derive(Debug)]
pub struct CopyOut {
    tail: Tail,
    next: Next,
}

#[derive(Debug)]
enum Next {
    Start,
    /// Carry-overs of rows of this number and above.
    Carries(i64),
    Gaps,
    /// Rows from this position on.
    Rows(u64),
    Over,
}

impl CopyOut {
    /// The position that the copy is of.
    pub fn position(&self) -> u64 {
        self.tail.end
    }

    /// Whether the carry-overs are still to come, so that none may go.
    pub fn needs_carries(&self) -> bool {
        matches!(self.next, Next::Start | Next::Carries(_))
    }
}

impl Journal {
    /// Begins a copy of what there is now.
    pub fn begin_copy(&self) -> CopyOut {
        CopyOut { tail: self.tail, next: Next::Start }
    }

    /// The next piece, of about so many bytes, or one row's; `None` when the copy is complete.
    pub fn copy_piece(&self, copy: &mut CopyOut, bytes: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let mut piece = Vec::new();
        while piece.len() < bytes && !matches!(copy.next, Next::Over) {
            let next = self.copy_on(copy, bytes, &mut piece);
            copy.next = next.map_err(|trouble| trouble.on_read(self.file.clone()))?;
        }
        Ok(if piece.is_empty() { None } else { Some(piece) })
    }

    fn copy_on(&self, copy: &CopyOut, bytes: usize, piece: &mut Vec<u8>) -> Result<Next, Trouble> {
        match copy.next {
            Next::Start => {
                let Tail { end, carries, carry_digest } = copy.tail;
                frame(piece, START, &[FORMAT.cast_unsigned(), end, carries, carry_digest], &[]);
                Ok(Next::Carries(0))
            }
            Next::Carries(from) => self.copy_carries(from, bytes, piece),
            Next::Gaps => {
                let mut found = self.db.prepare_cached("SELECT first, last, gone, sum FROM gaps ORDER BY first")?;
                let mut rows = found.query([])?;
                while let Some(row) = rows.next()? {
                    let Gap { first, last, gone } = Gap::from_sql(row)?;
                    frame(piece, GAP, &[first, last, gone as u64], &[]);
                }
                Ok(Next::Rows(1))
            }
            Next::Rows(from) => self.copy_rows(from, copy.tail.end, bytes, piece),
            Next::Over => Ok(Next::Over),
        }
    }

    fn copy_carries(&self, from: i64, bytes: usize, piece: &mut Vec<u8>) -> Result<Next, Trouble> {
        let sql = "SELECT key, sum, body, id FROM carry WHERE id >= ?1 ORDER BY id";
        let mut found = self.db.prepare_cached(sql)?;
        let mut rows = found.query([from])?;
        while let Some(row) = rows.next()? {
            let (entry, _) = carry::checked(row)?;
            frame(piece, CARRY, &[entry.key.len() as u64], &[entry.key, entry.body]);
            if piece.len() >= bytes {
                return Ok(Next::Carries(row.get::<_, i64>(3)? + 1));
            }
        }
        Ok(Next::Gaps)
    }

    fn copy_rows(&self, from: u64, end: u64, bytes: usize, piece: &mut Vec<u8>) -> Result<Next, Trouble> {
        let sql = format!(
            "SELECT {HEADER_COLUMNS}, body FROM headers LEFT JOIN bodies USING (first)
             WHERE first BETWEEN ?1 AND ?2 ORDER BY first"
        );
        let mut found = self.db.prepare_cached(&sql)?;
        let mut rows = found.query([from.cast_signed(), end.cast_signed()])?;
        while let Some(row) = rows.next()? {
            let header = Header::from_sql(row)?;
            let (first, last) = (header.first, header.last());
            let body = row.get_ref(7)?.as_blob_or_null().map_err(|_| Damage::Body { first, last })?;
            let body = body.ok_or(Damage::NoBody { first, last })?;
            header.check_body(body)?;
            let Header { events, newest_ms, codec, body_sum, .. } = header;
            frame(piece, ROW, &[first, events, newest_ms.cast_unsigned(), codec as u64, body_sum], &[body]);
            if piece.len() >= bytes {
                return Ok(Next::Rows(last + 1));
            }
        }
        frame(piece, END, &[], &[]);
        Ok(Next::Over)
    }
}

pub(super) fn frame(piece: &mut Vec<u8>, kind: u8, numbers: &[u64], blobs: &[&[u8]]) {
    let length = 8 * numbers.len() + blobs.iter().map(|blob| blob.len()).sum::<usize>();
    let at = piece.len() + FRAME_BYTES;
    piece.push(kind);
    piece.extend_from_slice(&(length as u64).to_le_bytes());
    piece.extend_from_slice(&[0; 8]);
    numbers.iter().for_each(|number| piece.extend_from_slice(&number.to_le_bytes()));
    blobs.iter().for_each(|blob| piece.extend_from_slice(blob));
    let checksum = frame_sum(kind, &piece[at..]);
    piece[at - 8..at].copy_from_slice(&checksum.to_le_bytes());
}

fn frame_sum(kind: u8, content: &[u8]) -> u64 {
    sum(b"copy", &[u64::from(kind), content.len() as u64, xxh3_64(content)])
}

/// Why a copy could not be taken in. What was taken in so far is no journal.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Write(#[from] AppendError),
    #[error("the copy is not whole: {0}")]
    Broken(&'static str),
    #[error("the copy has journal format {found}, this program writes {FORMAT}")]
    Format { found: u64 },
}

/// A copy on its way in, into a directory of its own. Until [`CopyIn::finish`] its end is not written, so that what is
/// there would never be taken for a journal.
pub struct CopyIn {
    journal: Journal,
    /// Bytes that are no whole frame yet.
    rest: Vec<u8>,
    start: Option<Tail>,
    complete: bool,
}

impl CopyIn {
    /// Into an empty directory.
    pub fn create(dir: &Path, holder_note: &str) -> Result<Self, CopyError> {
        let (journal, _) = Journal::open(dir, holder_note)?;
        Ok(Self { journal, rest: Vec::new(), start: None, complete: false })
    }

    /// Takes a piece.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), CopyError> {
        self.rest.extend_from_slice(piece);
        let Self { journal, rest, start, complete } = self;
        let mut taken = 0;
        let mut broken = None;
        journal.make_room(rest.len() as u64)?;
        journal.transact("write a copy", rest.len() as u64, |db, tail, census| {
            while broken.is_none() {
                let (kind, content) = match next_frame(&rest[taken..]) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(why) => {
                        broken = Some(why);
                        break;
                    }
                };
                taken += FRAME_BYTES + content.len();
                broken = put(db, tail, census, start, complete, kind, content)?;
            }
            Ok(())
        })?;
        rest.drain(..taken);
        broken.map_or(Ok(()), Err)
    }

    /// That all has come, and that it is a log; answers its end.
    pub fn finish(mut self) -> Result<u64, CopyError> {
        let Some(start) = self.start.filter(|_| self.complete && self.rest.is_empty()) else {
            return Err(CopyError::Broken("it ends too early"));
        };
        if (self.journal.tail.carries, self.journal.tail.carry_digest) != (start.carries, start.carry_digest) {
            return Err(CopyError::Broken("carry-overs are missing"));
        }
        let end = start.end;
        self.journal.transact("end a copy", 0, |db, tail, census| {
            *census = Census::take(db, end)?;
            tail.end = end;
            Ok(())
        })?;
        self.journal.close()?;
        Ok(end)
    }
}

/// The first frame, or `None` where it is not there as a whole.
fn next_frame(bytes: &[u8]) -> Result<Option<(u8, &[u8])>, CopyError> {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_BYTES>() else { return Ok(None) };
    let number = |at: usize| head[at..].iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (kind, length, checksum) = (head[0], number(1), number(9));
    if length > MOST_FRAME_BYTES {
        return Err(CopyError::Broken("a frame is too long"));
    }
    let Some(content) = rest.get(..length as usize) else { return Ok(None) };
    if checksum != frame_sum(kind, content) {
        return Err(CopyError::Broken("a frame has a wrong checksum"));
    }
    Ok(Some((kind, content)))
}

fn put(
    db: &rusqlite::Connection,
    tail: &mut Tail,
    census: &mut Census,
    start: &mut Option<Tail>,
    complete: &mut bool,
    kind: u8,
    content: &[u8],
) -> Result<Option<CopyError>, Trouble> {
    let (numbers, _) = content.as_chunks::<8>();
    let number = |at: usize| numbers.get(at).map(|bytes| u64::from_le_bytes(*bytes)).unwrap_or_default();
    let broken = |why| Ok(Some(CopyError::Broken(why)));
    if *complete || (kind == START) == start.is_some() {
        return broken("its frames are not in order");
    }
    match kind {
        START if content.len() == 32 && number(0) == FORMAT.cast_unsigned() && number(1) > MAX_POSITION => {
            return broken("its end is beyond every position");
        }
        START if content.len() == 32 && number(0) == FORMAT.cast_unsigned() => {
            *start = Some(Tail { end: number(1), carries: number(2), carry_digest: number(3) });
        }
        START => return Ok(Some(CopyError::Format { found: number(0) })),
        CARRY => {
            let key = usize::try_from(number(0)).unwrap_or(usize::MAX);
            let Some((key, body)) = content.get(8..).and_then(|rest| rest.split_at_checked(key)) else {
                return broken("a carry-over has no key");
            };
            carry::put(db, tail, key, body)?;
        }
        GAP if content.len() == 24 && number(2) <= 1 && are_positions(number(0), number(1)) => {
            let gone = if number(2) == 0 { Gone::Dropped } else { Gone::Lost };
            Gap { first: number(0), last: number(1), gone }.record(db)?;
        }
        ROW if content.len() >= 40
            && number(3) <= 1
            && number(1) > 0
            && are_positions(number(0), number(0).saturating_add(number(1) - 1)) =>
        {
            let (codec, body) = (if number(3) == 0 { Codec::Raw } else { Codec::Block }, &content[40..]);
            let header = Header::new(number(0), number(1), number(2).cast_signed(), codec, body);
            if header.body_sum != number(4) {
                return broken("a row has a wrong checksum");
            }
            header.insert(db, body)?;
            census.count(&header);
        }
        END if content.is_empty() => *complete = true,
        _ => return broken("a frame is of no known kind"),
    }
    Ok(None)
}
