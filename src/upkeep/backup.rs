//! What a server hands out for a backup becomes a data directory: under another name until all of it is there and
//! verified, and then at its place at once.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Listener, UpkeepError, counted, verify};
use crate::event::Millis;
use crate::journal::CopyIn;

/// A backup on its way in. Dropping it before its end takes away what came so far.
pub struct Incoming {
    copy: Option<CopyIn>,
    partial: PathBuf,
    dest: PathBuf,
}

/// A backup that is complete, verified and at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The position that it is of.
    pub position: u64,
    pub rows: u64,
}

impl Incoming {
    /// Makes place beside `dest`, which must not be there, or be an empty directory.
    pub fn create(dest: &Path) -> Result<Incoming, UpkeepError> {
        let failed = |doing, path: &Path| {
            let path = path.to_path_buf();
            move |source| UpkeepError::Io { doing, path, source }
        };
        match fs::read_dir(dest) {
            Ok(entries) => {
                if entries.count() > 0 {
                    return Err(UpkeepError::Taken(dest.to_path_buf()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(UpkeepError::Taken(dest.to_path_buf()));
            }
            Err(source) => return Err(failed("look at", dest)(source)),
        }
        let mut name = dest.file_name().map(OsString::from).ok_or_else(|| UpkeepError::Taken(dest.to_path_buf()))?;
        name.push(".partial");
        let partial = dest.with_file_name(name);
        if partial.exists() {
            // Of a backup that was killed, or of one that is under way.
            return Err(UpkeepError::Taken(partial));
        }
        fs::create_dir_all(&partial).map_err(failed("create", &partial))?;
        let mut incoming = Incoming { copy: None, partial, dest: dest.to_path_buf() };
        incoming.copy = Some(CopyIn::create(&incoming.partial, "tasktally backup")?);
        Ok(incoming)
    }

    /// Takes the next piece.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), UpkeepError> {
        match &mut self.copy {
            Some(copy) => Ok(copy.take(piece)?),
            None => unreachable!("a backup takes pieces until it is finished"),
        }
    }

    /// All has come: verifies it as `tasktally verify` does, and puts it at its place.
    pub fn finish(mut self, now: Millis, retention_ms: i64, to: &mut dyn Listener) -> Result<BackedUp, UpkeepError> {
        let Some(copy) = self.copy.take() else { unreachable!("a backup is finished once") };
        let position = copy.finish()?;
        let report = verify(&self.partial, now, retention_ms, to)?;
        if let Err(why) = &report.start {
            return Err(UpkeepError::Unsound(why.clone()));
        }
        if report.findings > 0 {
            return Err(UpkeepError::Unsound(format!("{} of damage, above", counted(report.findings, "finding"))));
        }
        let failed = |doing, path: &Path| {
            let path = path.to_path_buf();
            move |source| UpkeepError::Io { doing, path, source }
        };
        fs::remove_file(self.partial.join("LOCK")).map_err(failed("remove the lock of", &self.partial))?;
        let sync = |dir: &Path| File::open(dir).and_then(|dir| dir.sync_all());
        sync(&self.partial).map_err(failed("sync", &self.partial))?;
        fs::rename(&self.partial, &self.dest).map_err(failed("rename to", &self.dest))?;
        let parent = self.dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync(parent).map_err(failed("sync", parent))?;
        Ok(BackedUp { position, rows: report.rows })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Closed first. After the end it is under its real name, and there is nothing to take away.
        self.copy = None;
        let _best_effort = fs::remove_dir_all(&self.partial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::HOUR_MS;
    use crate::journal::{Journal, Row};

    struct Silent;

    impl Listener for Silent {
        fn progress(&mut self, _: u64, _: u64) {}

        fn finding(&mut self, _: String) {}
    }

    /// The pieces of a journal whose rows are whole, and say nothing.
    fn copy_of_rubbish(dir: &Path) -> Vec<u8> {
        let (mut journal, _) = Journal::open(dir, "a test").unwrap();
        journal.append(&[Row { events: 1, newest_ms: 1, body: b"no event", ends: None }]).unwrap();
        let (mut copy, mut all) = (journal.begin_copy(), Vec::new());
        while let Some(piece) = journal.copy_piece(&mut copy, 100).unwrap() {
            all.extend(piece);
        }
        all
    }

    #[test]
    fn what_does_not_verify_does_not_get_its_name_and_leaves_nothing() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copy = copy_of_rubbish(from.path());
        let mut incoming = Incoming::create(&to.path().join("backup")).unwrap();
        incoming.take(&copy).unwrap();
        let refused = incoming.finish(Millis(HOUR_MS), HOUR_MS, &mut Silent).unwrap_err();
        assert!(matches!(refused, UpkeepError::Unsound(_)), "{refused}");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_backup_goes_where_nothing_is_and_no_other_is_under_way() {
        let to = tempfile::tempdir().unwrap();
        let dest = to.path().join("backup");
        let partial = to.path().join("backup.partial");
        let taken = |dest: &Path| match Incoming::create(dest) {
            Err(UpkeepError::Taken(path)) => path,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("taken over"),
        };
        let first = Incoming::create(&dest).unwrap();
        assert_eq!(taken(&dest), partial);
        assert!(partial.is_dir(), "the first one goes on");
        drop(first);
        assert!(!partial.exists());
        fs::create_dir(&dest).unwrap();
        drop(Incoming::create(&dest).unwrap());
        fs::write(dest.join("something"), "").unwrap();
        assert_eq!(taken(&dest), dest);
        assert_eq!(taken(&dest.join("something")), dest.join("something"));
    }
}
