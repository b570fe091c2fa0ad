//! Looking at a log without changing it: all that opening and reading check, and more; each finding is told, and none
//! ends the look before its end.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension};

use super::{
    Carry, Cut, Damage, Journal, OpenError, ReadError, Record, block, carry,
    error::Trouble,
    lock::Lock,
    store::{self, Settings},
    tile::{self, Codec, Gap, Gone, HEADER_COLUMNS, Header, Tail, check_next},
};

/// How many complaints SQLite makes about one file.
const MOST_COMPLAINTS: usize = 100;

/// A log that is only looked at. Holds its directory.
pub struct Survey {
    db: Connection,
    dir: PathBuf,
    file: PathBuf,
    cut: Option<Cut>,
    lock: Lock,
}

/// One thing that a look at the rows comes upon. Ranges include both ends.
#[derive(Debug)]
pub enum Found<'a> {
    /// A row whose checksums hold.
    Row(Record<'a>),
    /// Positions without rows, as the log itself says: dropped past the retention, or lost in an earlier accident.
    Gone {
        first: u64,
        last: u64,
        lost: bool,
    },
    Damage(Damage),
}

impl Survey {
    /// Takes a directory that there is, and checks that its log is one. Changes nothing but the lock file.
    pub fn open(dir: &Path, holder_note: &str) -> Result<Self, OpenError> {
        let file = dir.join(store::DB_FILE);
        // Before the lock, whose file would be made.
        if let Err(source) = std::fs::metadata(&file) {
            return Err(OpenError::Io { doing: "read", path: file, source });
        }
        let lock = Lock::take(dir, holder_note)?;
        let (db, cut) = store::look(dir, &file)?;
        Ok(Self { db, dir: dir.to_path_buf(), file, cut, lock })
    }

    /// What the next opening will discard of the write-ahead log.
    pub fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// Position of the last event.
    pub fn end(&self) -> Result<u64, Damage> {
        match Tail::load(&self.db) {
            Ok(tail) => Ok(tail.end),
            Err(Trouble::Damage(damage)) => Err(damage),
            Err(Trouble::Store(error)) => Err(Damage::Store(error)),
        }
    }

    /// What SQLite itself has to say against its file, every page read.
    pub fn complaints(&self) -> Result<Vec<String>, ReadError> {
        let ask = || -> Result<Vec<String>, Trouble> {
            let mut check = self.db.prepare(&format!("PRAGMA integrity_check({MOST_COMPLAINTS})"))?;
            let lines = check.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        };
        ask().map_err(|trouble| trouble.on_read(self.file.clone()))
    }

    /// Everything between position 1 and the end, in order, until `each` breaks off.
    pub fn rows(&self, each: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>) -> Result<(), ReadError> {
        match self.walk(each) {
            Err(Trouble::Damage(damage)) => {
                // The table itself cannot be followed any further.
                let _ = each(Found::Damage(damage));
                Ok(())
            }
            other => other.map_err(|trouble| trouble.on_read(self.file.clone())),
        }
    }

    fn walk(&self, each: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>) -> Result<(), Trouble> {
        let mut walk = Walk { next: 1, end: self.end().unwrap_or(tile::MAX_POSITION), each };
        let mut gaps = Vec::new();
        let mut found = self.db.prepare("SELECT first, last, gone, sum FROM gaps ORDER BY first")?;
        let mut rows = found.query([])?;
        while let Some(row) = rows.next()? {
            match Gap::from_sql(row) {
                Ok(gap) => gaps.push(gap),
                Err(trouble) => {
                    if walk.tell(trouble.damage()?).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        let mut gaps = gaps.into_iter().peekable();
        let mut found = self.db.prepare(&format!("SELECT {HEADER_COLUMNS} FROM headers ORDER BY first"))?;
        let mut rows = found.query([])?;
        while let Some(row) = rows.next()? {
            let header = match Header::from_sql(row) {
                Ok(header) => header,
                Err(trouble) => {
                    if walk.tell(trouble.damage()?).is_break() {
                        return Ok(());
                    }
                    continue;
                }
            };
            while let Some(gap) = gaps.next_if(|gap| gap.first < header.first) {
                if walk.pass(gap).is_break() {
                    return Ok(());
                }
            }
            if walk.step(header.first, header.last()).is_break() || self.open_row(&header, &mut walk).is_break() {
                return Ok(());
            }
        }
        for gap in gaps {
            if walk.pass(gap).is_break() {
                return Ok(());
            }
        }
        if self.end().is_ok() && walk.next <= walk.end {
            let _ = walk.tell(Damage::Missing { first: walk.next, last: walk.end });
        }
        Ok(())
    }

    fn open_row(&self, header: &Header, walk: &mut Walk<'_>) -> ControlFlow<()> {
        let (first, last) = (header.first, header.last());
        let body = self
            .db
            .prepare_cached("SELECT body FROM bodies WHERE first = ?1")
            .and_then(|mut body| body.query_row([first.cast_signed()], |row| row.get::<_, Vec<u8>>(0)).optional());
        let body = match body {
            Ok(Some(body)) => body,
            Ok(None) => return walk.tell(Damage::NoBody { first, last }),
            Err(_) => return walk.tell(Damage::Body { first, last }),
        };
        if let Err(damage) = header.check_body(&body) {
            return walk.tell(damage);
        }
        match header.codec {
            Codec::Raw => match block::record(header, &body) {
                Ok(record) => (walk.each)(Found::Row(record)),
                Err(damage) => walk.tell(damage),
            },
            Codec::Block => match block::unpack(header, &body) {
                Ok(rows) => rows.each_from(first, &mut |record| (walk.each)(Found::Row(record))),
                Err(damage) => walk.tell(damage),
            },
        }
    }

    /// Every carry-over, or what is wrong with it, and at last whether one is missing.
    pub fn carries(&self, each: &mut dyn FnMut(Result<Carry<'_>, Damage>)) -> Result<(), ReadError> {
        let mut look = || -> Result<(), Trouble> {
            let mut found = self.db.prepare("SELECT key, sum, body FROM carry ORDER BY id")?;
            let mut rows = found.query([])?;
            let (mut count, mut digest) = (0, 0);
            while let Some(row) = rows.next()? {
                match carry::checked(row) {
                    Ok((entry, sum)) => {
                        count += 1;
                        digest ^= sum;
                        each(Ok(entry));
                    }
                    Err(Trouble::Damage(damage)) => each(Err(damage)),
                    Err(trouble) => return Err(trouble),
                }
            }
            match Tail::load(&self.db) {
                Ok(tail) if (count, digest) != (tail.carries, tail.carry_digest) => {
                    each(Err(Damage::CarrySet { expected: tail.carries, found: count }));
                    Ok(())
                }
                // What is wrong with the end is told with the rows.
                Ok(_) | Err(Trouble::Damage(_)) => Ok(()),
                Err(trouble) => Err(trouble),
            }
        };
        match look() {
            Err(Trouble::Damage(damage)) => {
                each(Err(damage));
                Ok(())
            }
            other => other.map_err(|trouble| trouble.on_read(self.file.clone())),
        }
    }

    /// The log as a start would open it, but that nothing can be written.
    pub fn into_journal(self) -> Result<Journal, OpenError> {
        let Self { db, dir, file, lock, .. } = self;
        let settings = Settings::default();
        let (tail, census, _) = store::take_stock(&db, settings).map_err(|t| t.on_open("read", file.clone()))?;
        Ok(Journal::of(db, dir, file, settings, tail, census, lock))
    }
}

/// The place of a look at the rows.
struct Walk<'a> {
    next: u64,
    end: u64,
    each: &'a mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
}

impl Walk<'_> {
    fn tell(&mut self, damage: Damage) -> ControlFlow<()> {
        (self.each)(Found::Damage(damage))
    }

    /// That this range follows on the one before.
    fn step(&mut self, first: u64, last: u64) -> ControlFlow<()> {
        let follows = check_next(self.next, first, last, self.end);
        self.next = self.next.max(last + 1);
        follows.map_or_else(|damage| self.tell(damage), |()| ControlFlow::Continue(()))
    }

    fn pass(&mut self, gap: Gap) -> ControlFlow<()> {
        let Gap { first, last, gone } = gap;
        self.step(first, last)?;
        (self.each)(Found::Gone { first, last, lost: gone == Gone::Lost })
    }
}
