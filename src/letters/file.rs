//! The file of the letters: how it is opened, told from others, and set aside.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{fmt, io};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Place;
use super::store::{SCHEMA, Store};

pub(super) const NAME: &str = "dead-letters.db";

/// "TTlt": tells our files from other SQLite files.
const APPLICATION_ID: i64 = 0x5474_6c74;

/// Grows with each change of what is stored.
const FORMAT: i64 = 1;

/// Files that were set aside, at most: more than that is one trouble again and again, and the last takes its place.
const SET_ASIDE: u32 = 9;

/// What went wrong with the file, told apart by what is done next.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is not what we wrote: it is set aside.
    Damaged(Damage),
    /// No room. What is there is as it was.
    Full(rusqlite::Error),
    Store(rusqlite::Error),
    Io {
        doing: &'static str,
        path: PathBuf,
        error: io::Error,
    },
}

#[derive(Debug)]
pub(super) enum Damage {
    Store(rusqlite::Error),
    /// What SQLite's own check found first.
    Check(String),
    Foreign(i64),
    /// Of a later version of this program, or of none.
    Format(i64),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Store(error) => write!(f, "{error}"),
            Damage::Check(found) => write!(f, "{found}"),
            Damage::Foreign(id) => write!(f, "it is of another program: its application id is {id:#010x}"),
            Damage::Format(found) => write!(f, "its format is {found}, this program reads and writes {FORMAT}"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Damaged(damage) => write!(f, "damaged: {damage}"),
            Trouble::Full(error) | Trouble::Store(error) => write!(f, "{error}"),
            Trouble::Io { doing, path, error } => write!(f, "cannot {doing} {}: {error}", path.display()),
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        use rusqlite::Error as E;
        match &error {
            E::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Trouble::Damaged(Damage::Store(error)),
                ErrorCode::DiskFull => Trouble::Full(error),
                _ => Trouble::Store(error),
            },
            // Bytes that this program did not write: a column of another type, a table that is not there.
            E::InvalidColumnType(..)
            | E::IntegralValueOutOfRange(..)
            | E::FromSqlConversionFailure(..)
            | E::SqlInputError { .. } => Trouble::Damaged(Damage::Store(error)),
            _ => Trouble::Store(error),
        }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Whether letters were kept there before.
pub(super) fn is_there(place: &Place) -> bool {
    match place {
        Place::Folder(folder) => path(folder).exists(),
        Place::Memory => false,
    }
}

/// Opens what is there, or makes it.
pub(super) fn open(place: &Place) -> Result<Store, Trouble> {
    let Place::Folder(folder) = place else {
        let mut db = Connection::open_in_memory()?;
        fill(&mut db)?;
        return Ok(Store::new(db));
    };
    let is_new = !is_there(place);
    // No URI names: the path is taken as it is.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path(folder), flags)?;
    // Before the first access: then the index of the write-ahead log is kept in memory, not in a shared file.
    db.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    // An empty file is a new one, or one whose making was cut short.
    if db.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))? == 0 {
        fill(&mut db)?;
    }
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    check(&db)?;
    if is_new {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| Trouble::Io { doing: "sync", path: folder.clone(), error })?;
    }
    Ok(Store::new(db))
}

/// All or nothing, so that a file that is not empty is complete.
fn fill(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.commit()
}

fn check(db: &Connection) -> Result<(), Trouble> {
    let read = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let found = read("application_id")?;
    if found != APPLICATION_ID {
        return Err(Trouble::Damaged(Damage::Foreign(found)));
    }
    let found = read("user_version")?;
    if found != FORMAT {
        return Err(Trouble::Damaged(Damage::Format(found)));
    }
    let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(Trouble::Damaged(Damage::Check(found))) }
}

/// Gives the file, and what SQLite keeps beside it, other names, and says so.
pub(super) fn set_aside(place: &Place, damage: &str) -> Result<(), Trouble> {
    let Place::Folder(folder) = place else { return Ok(()) };
    let from = path(folder);
    let free = (1..SET_ASIDE).find(|number| !aside(&from, *number).exists()).unwrap_or(SET_ASIDE);
    let to = aside(&from, free);
    for end in ["-wal", "-journal", ""] {
        rename(&with_end(&from, end), &with_end(&to, end))?;
    }
    tracing::error!(
        damage,
        set_aside = %to.display(),
        "the file of the dead letters is damaged: it was set aside, and an empty one takes its place"
    );
    Ok(())
}

fn aside(file: &Path, number: u32) -> PathBuf {
    with_end(file, &format!(".damaged-{number}"))
}

fn with_end(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn rename(from: &Path, to: &Path) -> Result<(), Trouble> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Trouble::Io { doing: "set aside", path: from.to_path_buf(), error })
        }
        _ => Ok(()),
    }
}
