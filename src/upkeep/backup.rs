//! What a server hands out for a backup becomes a data directory: under another name until all of it is there and
//! verified, and then at its place at once.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Listener, UpkeepError, verify};
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
            return Err(UpkeepError::Unsound(format!("{} findings of damage, above", report.findings)));
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
