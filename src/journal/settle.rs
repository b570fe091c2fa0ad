//! After a failed write: what it was, whether the log is as it was before, and what the caller may do now.

use std::io;

use rusqlite::{ErrorCode, ffi};

use super::{
    AppendError, Cause, Damage, Damaged, Journal,
    error::Trouble,
    files,
    log::{PROBE_BYTES, PROBE_MAX_BYTES},
    tile::Tail,
};

impl Journal {
    /// After a failed write: rolls back, proves that the log is as it was, and says what the caller may do.
    pub(super) fn settle(&mut self, doing: &'static str, bytes: u64, trouble: Trouble) -> AppendError {
        // SQLite reports a full quota and the like as a plain write error; a trial file tells them from a failing disk.
        let refusal = match &trouble {
            Trouble::Store(error) if is_write_error(error) => self.refusal_of_disk(bytes),
            _ => None,
        };
        let answer = match (trouble, refusal) {
            (Trouble::Damage(damage), _) => self.damaged(damage),
            (Trouble::Store(source), _) if is_unreadable(&source) => self.damaged(Damage::Unreadable(source)),
            (Trouble::Store(_), Some(source)) => AppendError::Refused { cause: Cause::Io { doing, source } },
            (Trouble::Store(source), None) if may_pass(&source) => {
                AppendError::Refused { cause: Cause::Store { doing, source } }
            }
            (Trouble::Store(source), None) => {
                self.lost = true;
                return AppendError::Lost { cause: Cause::Store { doing, source } };
            }
        };
        self.unproven = true;
        if let Err(error) = self.prove() {
            return error;
        }
        if matches!(answer, AppendError::Refused { .. }) {
            self.wanted_bytes = self.wanted_bytes.max(bytes);
        }
        answer
    }

    /// After a failed write, that the log is as it was before. What that takes may be unreadable, too: then nothing is
    /// written until it can be read again, since a failed write that never ended with its commit is not in the log.
    pub(super) fn prove(&mut self) -> Result<(), AppendError> {
        if !self.unproven {
            return Ok(());
        }
        match self.roll_back() {
            Ok(()) => {
                self.unproven = false;
                Ok(())
            }
            Err(Cause::Store { source, .. }) if is_unreadable(&source) => match Trouble::from(source) {
                Trouble::Damage(damage) => Err(self.damaged(damage)),
                Trouble::Store(source) => Err(self.damaged(Damage::Unreadable(source))),
            },
            Err(cause) => {
                self.lost = true;
                Err(AppendError::Lost { cause })
            }
        }
    }

    fn damaged(&self, damage: Damage) -> AppendError {
        Damaged { file: self.file.clone(), damage }.into()
    }

    fn roll_back(&self) -> Result<(), Cause> {
        let store = |doing| move |source| Cause::Store { doing, source };
        if !self.db.is_autocommit() {
            self.db.execute_batch("ROLLBACK").map_err(store("roll back"))?;
        }
        self.db.execute_batch("BEGIN IMMEDIATE").map_err(store("begin after a rollback"))?;
        let found = Tail::load(&self.db);
        self.db.execute_batch("ROLLBACK").map_err(store("roll back"))?;
        match found {
            Ok(tail) if tail == self.tail => Ok(()),
            Ok(tail) => Err(Cause::NotRolledBack { before: self.tail.end, after: tail.end }),
            Err(Trouble::Store(source) | Trouble::Damage(Damage::Store(source))) => {
                Err(Cause::Store { doing: "read after a rollback", source })
            }
            Err(Trouble::Damage(_)) => Err(Cause::NotRolledBack { before: self.tail.end, after: 0 }),
        }
    }

    /// Why the disk takes nothing at all, if so.
    fn refusal_of_disk(&self, bytes: u64) -> Option<io::Error> {
        let tried = files::try_space(&self.dir, bytes.clamp(PROBE_BYTES, PROBE_MAX_BYTES));
        tried.err().filter(files::is_refusal)
    }
}

/// Failures that surely changed nothing and may pass.
fn may_pass(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return false };
    match failure.code {
        ErrorCode::DiskFull | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => true,
        // A file that was moved away: what was written since went nowhere.
        ErrorCode::ReadOnly => failure.extended_code != ffi::SQLITE_READONLY_DBMOVED,
        _ => false,
    }
}

fn is_write_error(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|failure| failure.extended_code == ffi::SQLITE_IOERR_WRITE)
}

/// Nothing was written, and what cannot be read is as bad as damaged. SQLite itself mostly takes the one for the other.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    let codes = [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ];
    error
        .sqlite_error()
        .is_some_and(|failure| failure.code == ErrorCode::DatabaseCorrupt || codes.contains(&failure.extended_code))
}
