//! The SQLite file: its tables, its settings, its first and its every other opening.
//!
//! Headers and bodies are two tables. A body of 65 KB fills a chain of overflow pages, and its first half page lies
//! in the leaf; with both in one table, looking at every header would touch a page or more for each row. Apart,
//! a page holds some 80 headers, at the price of one more page in each commit.
//!
//! There is no auto-vacuum: pages freed by dropping and compressing go to SQLite's free list and take the next
//! rows, so the file keeps the size of its fullest day, while auto-vacuum would keep and write a map of all pages.
//!
//! The write-ahead log is checkpointed by [`super::Journal::tidy`] and never behind the caller's back: SQLite's own
//! automatic checkpoint runs inside a commit and hides its errors, a failed sync among them.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::{
    Cut, Damage, Damaged, OpenError,
    age::{BLOCK_SIZE, BlockSize},
    block::AT_ONCE_BYTES,
    checkpoint,
    error::Trouble,
    files,
    tile::{self, Tail},
    wal::Scan,
};

pub(super) const DB_FILE: &str = "journal.db";
pub(super) const WAL_FILE: &str = "journal.db-wal";
const NEW_FILE: &str = "journal.db.new";

/// "TTly": tells our files from other SQLite files.
const APPLICATION_ID: i64 = 0x5474_6c79;

/// Grows with each change of what is stored.
pub(super) const FORMAT: i64 = 1;

/// The tables. SQLite keeps these very texts, and opening compares them.
const TABLES: [(&str, &str); 6] = [
    ("bodies", "CREATE TABLE bodies (first INTEGER PRIMARY KEY, body BLOB NOT NULL)"),
    (
        "carry",
        "CREATE TABLE carry (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, sum INTEGER NOT NULL, \
         body BLOB NOT NULL)",
    ),
    (
        "gaps",
        "CREATE TABLE gaps (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, gone INTEGER NOT NULL, \
         sum INTEGER NOT NULL)",
    ),
    (
        "headers",
        "CREATE TABLE headers (first INTEGER PRIMARY KEY, events INTEGER NOT NULL, newest_ms INTEGER NOT NULL, \
         codec INTEGER NOT NULL, bytes INTEGER NOT NULL, body_sum INTEGER NOT NULL, sum INTEGER NOT NULL)",
    ),
    (
        "meta",
        "CREATE TABLE meta (id INTEGER PRIMARY KEY, format INTEGER NOT NULL, created_ms INTEGER NOT NULL, \
         sum INTEGER NOT NULL)",
    ),
    (
        "tail",
        "CREATE TABLE tail (id INTEGER PRIMARY KEY, last INTEGER NOT NULL, carries INTEGER NOT NULL, \
         carry_digest INTEGER NOT NULL, sum INTEGER NOT NULL)",
    ),
];

/// What tests turn; everybody else takes the default.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) page_bytes: u32,
    /// Whether commits wait for the disk.
    pub(super) sync: bool,
    /// [`super::Journal::tidy`] checkpoints the write-ahead log beyond this.
    pub(super) wal_bytes: u64,
    pub(super) block: BlockSize,
    /// Rows from this length on are packed as they are appended.
    pub(super) at_once_bytes: usize,
}

/// Measured with groups of 1,000 events in 65 KB: pages of 8 or 16 KiB and longer write-ahead logs cost the same CPU
/// in such groups and more in small ones, while a checkpoint delays a group for as long as the log is long.
impl Default for Settings {
    fn default() -> Self {
        Self { page_bytes: 4096, sync: true, wal_bytes: 4 << 20, block: BLOCK_SIZE, at_once_bytes: AT_ONCE_BYTES }
    }
}

/// An opened, checked file.
pub(super) struct Store {
    pub(super) db: Connection,
    pub(super) file: PathBuf,
    pub(super) created: bool,
    pub(super) cut: Option<Cut>,
    pub(super) tail: Tail,
    pub(super) census: tile::Census,
    /// What of the write-ahead log could not be moved into the file yet.
    pub(super) wal_bytes: u64,
}

impl Store {
    /// Opens the file in `dir`, creating it where there is no trace of an earlier one. The caller holds the lock.
    pub(super) fn open(dir: &Path, settings: Settings) -> Result<Self, OpenError> {
        let file = dir.join(DB_FILE);
        let created = !file.exists();
        if created {
            refuse_remains(dir, &file)?;
            create(dir, &file, settings)?;
        }
        let wal = dir.join(WAL_FILE);
        let page_bytes =
            page_bytes(&file).map_err(|source| OpenError::Io { doing: "read", path: file.clone(), source })?;
        let scan = Scan::of(&wal, page_bytes).map_err(|source| OpenError::Io { doing: "read", path: wal, source })?;
        let mut found = inspect(&file, settings)?;
        if scan.cut(found.3).is_some() {
            // What is cut off is gone for good from here on, so it is not done on the word of one reading.
            drop(found.0);
            found = inspect(&file, settings)?;
        }
        let (db, tail, census, accepted) = found;
        // Frames that were cut off lie behind those to come and would be taken for damage next time.
        let wal_bytes = match checkpoint_wal(&db, "TRUNCATE") {
            Ok(_) => {
                check_length(&db, &file)?;
                0
            }
            // Nothing is wrong with the log: it can be read, and written once there is room.
            Err(Trouble::Store(error)) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                accepted * page_bytes
            }
            Err(trouble) => return Err(trouble.on_open("checkpoint", file)),
        };
        Ok(Self { db, file, created, cut: scan.cut(accepted), tail, census, wal_bytes })
    }
}

/// Opens a file that there is, to be looked at and not to be changed: no write-ahead log is moved, and no statement
/// that writes is taken. Also answers what the next opening will cut.
pub(super) fn look(dir: &Path, file: &Path) -> Result<(Connection, Option<Cut>), OpenError> {
    let wal = dir.join(WAL_FILE);
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| OpenError::Io { doing: "read", path, source }
    };
    let scan = Scan::of(&wal, page_bytes(file).map_err(io(file))?).map_err(io(&wal))?;
    let failed = |doing, trouble: Trouble| trouble.on_open(doing, file.to_path_buf());
    let db = connect(file).map_err(|error| failed("open", error.into()))?;
    check(&db, file)?;
    db.pragma_update(None, "query_only", true).map_err(|error| failed("open", error.into()))?;
    let accepted = checkpoint_wal(&db, "NOOP").map_err(|trouble| failed("read", trouble))?;
    Ok((db, scan.cut(accepted)))
}

/// A log that is gone, while what belongs to it is still there, must not be taken for a fresh start.
fn refuse_remains(dir: &Path, file: &Path) -> Result<(), OpenError> {
    let listed = checkpoint::files(dir);
    let checkpoints = listed.map_err(|source| OpenError::Io { doing: "list", path: dir.to_path_buf(), source })?;
    let wal = dir.join(WAL_FILE);
    let beside = if wal.exists() { Some(wal) } else { checkpoints.into_iter().next().map(|(_, path)| path) };
    match beside {
        Some(beside) => Err(Damaged { file: file.to_path_buf(), damage: Damage::FileMissing { beside } }.into()),
        None => Ok(()),
    }
}

/// The page size that the main file states; any will do where it states none.
fn page_bytes(file: &Path) -> io::Result<u64> {
    let mut header = Vec::new();
    File::open(file)?.take(18).read_to_end(&mut header)?;
    Ok(match header.get(16..18) {
        // 65,536 does not fit and is written so.
        Some(&[0, 1]) => 65_536,
        Some(&[high, low]) => u64::from(high) << 8 | u64::from(low),
        _ => u64::from(Settings::default().page_bytes),
    })
}

/// Writes an empty log under another name, then renames it: a file that exists is complete.
fn create(dir: &Path, file: &Path, settings: Settings) -> Result<(), OpenError> {
    let new = dir.join(NEW_FILE);
    let io = |doing, path: &Path| {
        let path = path.to_path_buf();
        move |source| OpenError::Io { doing, path, source }
    };
    files::remove(&new).map_err(io("remove", &new))?;
    let filled = Connection::open(&new).and_then(|db| {
        fill(&db, settings)?;
        db.close().map_err(|(_, error)| error)
    });
    filled.map_err(|source| OpenError::Store { doing: "create", file: new.clone(), source })?;
    File::open(&new).and_then(|f| f.sync_all()).map_err(io("sync", &new))?;
    fs::rename(&new, file).map_err(io("rename", &new))?;
    files::sync_folder(dir).map_err(io("sync", dir))
}

#[expect(clippy::disallowed_methods, reason = "only said to people who open the file")]
fn fill(db: &Connection, settings: Settings) -> rusqlite::Result<()> {
    db.pragma_update(None, "page_size", settings.page_bytes)?;
    // The file is thrown away unless it is finished: no journal needed, none left behind.
    db.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "user_version", FORMAT)?;
    for (_, sql) in TABLES {
        db.execute(sql, [])?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    let sum = meta_sum(FORMAT, now).cast_signed();
    db.execute("INSERT INTO meta VALUES (1, ?1, ?2, ?3)", [FORMAT, now, sum])?;
    Tail::default().store(db)
}

fn meta_sum(format: i64, created_ms: i64) -> u64 {
    tile::sum(b"meta", &[format.cast_unsigned(), created_ms.cast_unsigned()])
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    // No URI names, no creation: the path is taken as it is, and the file is there.
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Before the first access: then the index of the write-ahead log is kept in memory, not in a shared file.
    db.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    // A refused file stays as it was found.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "mmap_size", 0).or_else(is_row)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Some pragmas answer with a row where a plain update expects none.
fn is_row(error: rusqlite::Error) -> rusqlite::Result<()> {
    if matches!(error, rusqlite::Error::ExecuteReturnedResults) { Ok(()) } else { Err(error) }
}

/// That the file is ours, of this format, with our tables.
fn check(db: &Connection, file: &Path) -> Result<(), OpenError> {
    let file = || file.to_path_buf();
    let read = |pragma: &str| -> Result<i64, OpenError> {
        db.pragma_query_value(None, pragma, |row| row.get(0)).map_err(|e| Trouble::from(e).on_open("read", file()))
    };
    let damaged = |damage| OpenError::Damaged(Damaged { file: file(), damage });
    let expected = fs::metadata(file()).map(|m| m.len());
    let expected = expected.map_err(|source| OpenError::Io { doing: "read", path: file(), source })?;
    if expected == 0 {
        // SQLite takes an empty file for an empty database.
        return Err(damaged(Damage::Schema));
    }
    let found = read("application_id")?;
    if found != APPLICATION_ID {
        return Err(OpenError::Foreign { file: file(), found, expected: APPLICATION_ID });
    }
    let found = read("user_version")?;
    if found != FORMAT {
        return Err(OpenError::Format { file: file(), found, supported: FORMAT });
    }
    let same = has_our_tables(db).map_err(|t| t.on_open("read", file()))?;
    if !same {
        return Err(damaged(Damage::Schema));
    }
    let meta = db.query_row("SELECT format, created_ms, sum FROM meta WHERE id = 1", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    match meta.map_err(|e| Trouble::from(e).on_open("read", file()))? {
        (format, created_ms, sum) if sum.cast_unsigned() == meta_sum(format, created_ms) && format == FORMAT => Ok(()),
        _ => Err(damaged(Damage::Single { what: "description" })),
    }
}

fn has_our_tables(db: &Connection) -> Result<bool, Trouble> {
    let mut tables = db.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")?;
    let mut tables = tables.query([])?;
    let mut expected = TABLES.iter();
    while let Some(table) = tables.next()? {
        let (name, sql): (String, String) = (table.get(0)?, table.get(1)?);
        if expected.next() != Some(&(name.as_str(), sql.as_str())) {
            return Ok(false);
        }
    }
    Ok(expected.next().is_none())
}

/// Connects, checks, and reads what opening must know: the end, the census, and how many pages of the write-ahead log
/// SQLite accepted.
fn inspect(file: &Path, settings: Settings) -> Result<(Connection, Tail, tile::Census, u64), OpenError> {
    let db = connect(file).map_err(|e| Trouble::from(e).on_open("open", file.to_path_buf()))?;
    check(&db, file)?;
    let (tail, census, accepted) = take_stock(&db, settings).map_err(|t| t.on_open("read", file.to_path_buf()))?;
    Ok((db, tail, census, accepted))
}

/// Turns the file to its running settings, then reads.
pub(super) fn take_stock(db: &Connection, settings: Settings) -> Result<(Tail, tile::Census, u64), Trouble> {
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Damage::Schema.into());
    }
    db.pragma_update(None, "synchronous", if settings.sync { "FULL" } else { "OFF" })?;
    db.pragma_update(None, "wal_autocheckpoint", 0).or_else(is_row)?;
    db.pragma_update(None, "journal_size_limit", (2 * settings.wal_bytes).cast_signed()).or_else(is_row)?;
    // In KiB when negative: room for the largest group, so that it is not written twice.
    db.pragma_update(None, "cache_size", -16_384)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    let tail = Tail::load(db)?;
    let census = tile::Census::take(db, tail.end)?;
    Ok((tail, census, checkpoint_wal(db, "NOOP")?))
}

/// Moves the write-ahead log into the file, as far as the mode says. Answers the pages it had.
pub(super) fn checkpoint_wal(db: &Connection, mode: &str) -> Result<u64, Trouble> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let pages: i64 = db.prepare_cached(&sql)?.query_row([], |row| row.get(1))?;
    Ok(u64::try_from(pages).unwrap_or(0))
}

/// With an empty write-ahead log the header's count of pages is the file's length, or the header is damaged: one
/// that says too little would have new rows written over old ones.
fn check_length(db: &Connection, file: &Path) -> Result<(), OpenError> {
    let read = |pragma: &str| -> Result<u64, OpenError> {
        let value = db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        value.map(i64::cast_unsigned).map_err(|e| Trouble::from(e).on_open("read", file.to_path_buf()))
    };
    let expected = read("page_count")? * read("page_size")?;
    let found = fs::metadata(file).map(|m| m.len());
    let found = found.map_err(|source| OpenError::Io { doing: "read", path: file.to_path_buf(), source })?;
    if found == expected {
        return Ok(());
    }
    Err(Damaged { file: file.to_path_buf(), damage: Damage::Length { expected, found } }.into())
}
