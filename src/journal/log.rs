//! The one writer: opens, appends, reads, keeps its file small.

use std::{collections::BTreeSet, fs, ops::ControlFlow, path::Path, path::PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::{
    AppendError, Cause, Cut, Damage, MAX_BODY_BYTES, OpenError, ReadError, Record, Row,
    block::{self, Press},
    carry,
    error::Trouble,
    files::{self, Places},
    lock::Lock,
    store::{self, Settings, Store},
    tile::{Census, Codec, Gap, Gone, HEADER_COLUMNS, Header, MAX_POSITION, Tail, check_next},
};

/// The log of one data directory, held by one thread of one process.
pub struct Journal {
    pub(super) db: Connection,
    pub(super) dir: PathBuf,
    pub(super) file: PathBuf,
    pub(super) settings: Settings,
    /// As committed last.
    pub(super) tail: Tail,
    pub(super) census: Census,
    /// About how much the write-ahead log holds that is not in the file yet.
    wal_bytes: u64,
    /// The largest group that was refused; what a probe must find room for.
    pub(super) wanted_bytes: u64,
    /// Where rows begin that could not be dropped, because they cannot be read.
    pub(super) unreadable: BTreeSet<u64>,
    places: Places,
    /// `None` where the log is only looked at.
    press: Option<Press>,
    pub(super) lost: bool,
    /// A write failed, and it is still to be proved that the log is as it was before.
    pub(super) unproven: bool,
    // Last: the directory is let go when all else is closed.
    _lock: Lock,
}

/// What opening found; worth a line in the log.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The directory had no journal before.
    pub created: bool,
    /// Position of the last event.
    pub end: u64,
    /// Rows in the log.
    pub rows: u64,
    /// Positions recorded as lost by [`Journal::raise_end`], in this life or an earlier one.
    pub lost: u64,
    /// What SQLite discarded of its write-ahead log.
    pub cut: Option<Cut>,
}

/// Sizes, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Position of the last event.
    pub end: u64,
    /// Rows in the log; a block of compressed rows counts as one.
    pub rows: u64,
    /// Bytes of their bodies, as stored.
    pub body_bytes: u64,
    /// Of these, in rows not compressed yet.
    pub raw_bytes: u64,
    /// Bytes of the main file, free pages included.
    pub file_bytes: u64,
    /// Bytes in it that the next rows will take.
    pub free_bytes: u64,
    /// Carry-over entries.
    pub carries: u64,
}

impl Journal {
    /// Takes the directory, creating it if needed, and checks the log's format and structure. Reads every header
    /// and no body. `holder_note` is what a second process is told about this one.
    pub fn open(dir: &Path, holder_note: &str) -> Result<(Self, Opened), OpenError> {
        Self::open_with(dir, holder_note, Settings::default())
    }

    pub(super) fn open_with(dir: &Path, note: &str, settings: Settings) -> Result<(Self, Opened), OpenError> {
        files::create_folder(dir)?;
        let lock = Lock::take(dir, note)?;
        let Store { db, file, created, cut, tail, census, wal_bytes } = Store::open(dir, settings)?;
        let opened = Opened { created, end: tail.end, rows: census.rows, lost: census.lost, cut };
        let places = Places::of([file.clone(), dir.join(store::WAL_FILE)]);
        // Without it rows are as good, only longer.
        let press = Press::new().ok();
        let dir = dir.to_path_buf();
        let journal = Self {
            db,
            dir,
            file,
            settings,
            tail,
            census,
            wal_bytes,
            wanted_bytes: 0,
            unreadable: BTreeSet::new(),
            places,
            press,
            lost: false,
            unproven: false,
            _lock: lock,
        };
        Ok((journal, opened))
    }

    /// A log that was opened to be looked at: whatever would write to it is refused.
    pub(super) fn of(
        db: Connection,
        dir: PathBuf,
        file: PathBuf,
        settings: Settings,
        tail: Tail,
        census: Census,
        lock: Lock,
    ) -> Self {
        Self {
            db,
            dir,
            file,
            settings,
            tail,
            census,
            wal_bytes: 0,
            wanted_bytes: 0,
            unreadable: BTreeSet::new(),
            // Nothing is written by it, so there is nothing that could miss its place.
            places: Places::of([]),
            press: None,
            lost: false,
            unproven: false,
            _lock: lock,
        }
    }

    /// Position of the last event ever appended, also when it was dropped since; 0 when there was none.
    pub fn end(&self) -> u64 {
        self.tail.end
    }

    /// The newest timestamp of any row; no later than 1970 where there is none.
    pub fn newest_ms(&self) -> i64 {
        self.census.newest_ms
    }

    /// Appends the rows of one group commit in their order. On return they are synced. Answers the new end.
    ///
    /// No rows: nothing is written.
    pub fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        if rows.is_empty() {
            return Ok(self.tail.end);
        }
        let is_long = |row: &Row<'_>| (self.settings.at_once_bytes..=MAX_BODY_BYTES).contains(&row.body.len());
        let packed = |row: &Row<'_>| self.press.as_mut().filter(|_| is_long(row) && row.ends.is_none())?.pack(row);
        let packed: Vec<Option<Vec<u8>>> = rows.iter().map(packed).collect();
        let stored = |(row, packed): (&Row<'_>, &Option<Vec<u8>>)| packed.as_deref().unwrap_or(row.body).len() as u64;
        let bytes = rows.iter().zip(&packed).map(stored).sum();
        self.make_room(bytes)?;
        let (tail, census) = self.transact("append", bytes, |db, tail, census| {
            for (row, packed) in rows.iter().zip(&packed) {
                let Row { events, mut newest_ms, body, ends } = *row;
                assert!(body.len() <= MAX_BODY_BYTES, "a body of {} bytes, at most {MAX_BODY_BYTES}", body.len());
                if let Some(prefix) = ends {
                    newest_ms = newest_ms.max(census.newest_ms);
                    carry::forget_under(db, tail, prefix)?;
                }
                let (codec, body) = packed.as_deref().map_or((Codec::Raw, body), |packed| (Codec::Block, packed));
                let header = Header::new(tail.end + 1, u64::from(events), newest_ms, codec, body);
                header.insert(db, body)?;
                census.count(&header);
                tail.end = header.last();
            }
            Ok((*tail, *census))
        })?;
        debug_assert_eq!((tail, census), (self.tail, self.census));
        Ok(tail.end)
    }

    /// Hands out the records of positions after `after`, in order, until `each` breaks off. Every record is
    /// checked against its checksums and against the one before: damage ends the reading, a gap never passes.
    ///
    /// A record that `after` cuts in two is handed out whole.
    pub fn read(&mut self, after: u64, each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>) -> Result<(), ReadError> {
        self.read_rows(after, each).map_err(|trouble| trouble.on_read(self.file.clone()))
    }

    fn read_rows(&self, after: u64, each: &mut dyn FnMut(Record<'_>) -> ControlFlow<()>) -> Result<(), Trouble> {
        let wanted = after.saturating_add(1);
        if wanted > self.tail.end {
            return Ok(());
        }
        let start = "SELECT first FROM headers WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
        let start: Option<i64> =
            self.db.prepare_cached(start)?.query_row([wanted.cast_signed()], |row| row.get(0)).optional()?;
        let gap = Gap::before(&self.db, wanted)?;
        // The row or the gap that holds the first wanted position, whichever begins later.
        let start = start.map_or(1, i64::cast_unsigned).max(gap.map_or(1, |gap| gap.first));
        let sql = format!(
            "SELECT {HEADER_COLUMNS}, body FROM headers LEFT JOIN bodies USING (first) WHERE first >= ?1 ORDER BY first"
        );
        let mut rows = self.db.prepare_cached(&sql)?;
        let mut rows = rows.query([start.cast_signed()])?;
        let mut next = start;
        while let Some(row) = rows.next()? {
            let header = Header::from_sql(row)?;
            let (first, last) = (header.first, header.last());
            next = self.skip_gaps(next)?;
            check_next(next, first, last, self.tail.end)?;
            next = last + 1;
            let body = row.get_ref(7)?.as_blob_or_null().map_err(|_| Damage::Body { first, last })?;
            let body = body.ok_or(Damage::NoBody { first, last })?;
            header.check_body(body)?;
            if last < wanted {
                continue;
            }
            let flow = match header.codec {
                Codec::Raw => each(block::record(&header, body)?),
                Codec::Block => block::unpack(&header, body)?.each_from(wanted, each),
            };
            if flow.is_break() {
                return Ok(());
            }
        }
        next = self.skip_gaps(next)?;
        if next != self.tail.end + 1 {
            return Err(Damage::Missing { first: next, last: self.tail.end }.into());
        }
        Ok(())
    }

    /// The first position from `next` on that is not known to be gone.
    fn skip_gaps(&self, mut next: u64) -> Result<u64, Trouble> {
        while let Some(gap) = Gap::at(&self.db, next)? {
            next = gap.last + 1;
        }
        Ok(next)
    }

    /// Moves the end up to `to` and records the positions between as lost, durably: for a checkpoint that knows
    /// of more than the log has, so that no position is ever given twice. An end that is there already stays.
    pub fn raise_end(&mut self, to: u64) -> Result<(), AppendError> {
        if to <= self.tail.end {
            return Ok(());
        }
        assert!(to <= MAX_POSITION, "the end raised to {to}, at most {MAX_POSITION}");
        self.transact("raise the end", 0, |db, tail, census| {
            let gap = Gap { first: tail.end + 1, last: to, gone: Gone::Lost };
            gap.record(db)?;
            census.lost += gap.last - gap.first + 1;
            if census.raw_from == gap.first {
                census.raw_from = to + 1;
            }
            tail.end = to;
            Ok(())
        })
    }

    /// Tries whether writing works again after [`AppendError::Refused`]: room for the largest group refused, real
    /// bytes on the disk, and a small synced write to the log itself.
    pub fn probe(&mut self) -> Result<(), AppendError> {
        let bytes = self.wanted_bytes.clamp(PROBE_BYTES, PROBE_MAX_BYTES);
        self.transact("find room", bytes, |db, tail, _| {
            // A row as the next group writes it, taken back in the same transaction: all that a group reads and SQLite's
            // own bounds are tried, and nothing stays.
            let body = vec![0; bytes as usize];
            let header = Header::new(tail.end + 1, 1, 0, Codec::Raw, &body);
            header.insert(db, &body)?;
            header.delete(db)?;
            tail.store(db)?;
            Ok(())
        })?;
        if let Err(source) = files::try_space(&self.dir, bytes) {
            return Err(AppendError::Refused { cause: Cause::Io { doing: "write a trial file", source } });
        }
        self.wanted_bytes = 0;
        Ok(())
    }

    /// Moves the write-ahead log into the file once it is long. Call it between groups, when nobody waits.
    /// Appending does it itself only at twice that length.
    pub fn tidy(&mut self) -> Result<(), AppendError> {
        if self.wal_bytes < self.settings.wal_bytes { Ok(()) } else { self.checkpoint_now() }
    }

    pub(super) fn make_room(&mut self, bytes: u64) -> Result<(), AppendError> {
        if self.wal_bytes > 0 && self.wal_bytes + bytes > 2 * self.settings.wal_bytes {
            self.checkpoint_now()?;
        }
        Ok(())
    }

    fn checkpoint_now(&mut self) -> Result<(), AppendError> {
        self.be_ready()?;
        match store::checkpoint_wal(&self.db, "PASSIVE") {
            Ok(_) => {
                self.wal_bytes = 0;
                Ok(())
            }
            Err(trouble) => Err(self.settle("checkpoint", 0, trouble)),
        }
    }

    /// Moves everything into the one file and closes it, so that a copy of `journal.db` alone is complete.
    pub fn close(mut self) -> Result<(), AppendError> {
        self.be_ready()?;
        store::checkpoint_wal(&self.db, "TRUNCATE").map(|_| ()).map_err(|t| self.settle("checkpoint", 0, t))
    }

    /// Sizes now. File sizes are 0 where the system does not tell.
    pub fn stats(&self) -> Stats {
        let pragma = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap_or(0);
        Stats {
            end: self.tail.end,
            rows: self.census.rows,
            body_bytes: self.census.body_bytes,
            raw_bytes: self.census.raw_bytes,
            file_bytes: fs::metadata(&self.file).map_or(0, |m| m.len()),
            free_bytes: (pragma("freelist_count") * pragma("page_size")).cast_unsigned(),
            carries: self.tail.carries,
        }
    }

    /// One transaction that writes about so many bytes: `work` changes the file and, alike, the tail and the
    /// census; all of it holds, or nothing.
    pub(super) fn transact<T>(
        &mut self,
        doing: &'static str,
        bytes: u64,
        work: impl FnOnce(&Connection, &mut Tail, &mut Census) -> Result<T, Trouble>,
    ) -> Result<T, AppendError> {
        self.be_ready()?;
        let (mut tail, mut census) = (self.tail, self.census);
        let done = (|| {
            self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let value = work(&self.db, &mut tail, &mut census)?;
            if tail != self.tail {
                tail.store(&self.db)?;
            }
            self.db.prepare_cached("COMMIT")?.execute([])?;
            Ok(value)
        })();
        match done {
            Ok(value) => {
                // After the sync: what is acknowledged was, at this moment, on the disk where it is looked for.
                self.check_places()?;
                (self.tail, self.census) = (tail, census);
                self.wal_bytes += bytes + PAGES_BESIDE * u64::from(self.settings.page_bytes);
                Ok(value)
            }
            Err(trouble) => Err(self.settle(doing, bytes, trouble)),
        }
    }

    /// A transaction that need not be synced, because losing it loses nothing: the next synced one takes it along,
    /// since the write-ahead log is read in order.
    pub(super) fn unsynced<T>(
        &mut self,
        doing: &'static str,
        bytes: u64,
        work: impl FnOnce(&Connection, &mut Tail, &mut Census) -> Result<T, Trouble>,
    ) -> Result<T, AppendError> {
        self.make_room(bytes)?;
        self.be_ready()?;
        if !self.settings.sync {
            return self.transact(doing, bytes, work);
        }
        let set = |db: &Connection, level| db.pragma_update(None, "synchronous", level);
        set(&self.db, "NORMAL").map_err(|error| self.settle(doing, 0, error.into()))?;
        let done = self.transact(doing, bytes, work);
        if let Err(source) = set(&self.db, "FULL") {
            // Going on would acknowledge what is not synced.
            self.lost = true;
            return Err(AppendError::Lost { cause: Cause::Store { doing: "return to synced writes", source } });
        }
        done
    }

    /// That the files are where they were opened. SQLite, writing to what it holds open, does not notice.
    pub fn check_places(&mut self) -> Result<(), AppendError> {
        let Some(file) = self.places.moved() else { return Ok(()) };
        self.lost = true;
        Err(AppendError::Lost { cause: Cause::Moved { file } })
    }

    /// That the log may be written: it is not lost, and as it was before a write that failed.
    pub(super) fn be_ready(&mut self) -> Result<(), AppendError> {
        if self.lost { Err(AppendError::Lost { cause: Cause::Earlier }) } else { self.prove() }
    }
}

/// A commit writes these besides the bodies: headers, tail, the leaf of bodies, the first page, and some to spare.
const PAGES_BESIDE: u64 = 5;

pub(super) const PROBE_BYTES: u64 = 64 << 10;
pub(super) const PROBE_MAX_BYTES: u64 = 4 << 20;
