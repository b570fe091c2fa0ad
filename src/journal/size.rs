//! What a data directory takes on its disk, told by the names and sizes of its files alone.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use super::{checkpoint, store};

/// Sizes now, of files that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnDisk {
    pub journal_bytes: u64,
    /// Of the write-ahead log.
    pub wal_bytes: u64,
    /// Of all checkpoints.
    pub checkpoint_bytes: u64,
    /// How long ago the newest was written, by the file system's clock.
    pub checkpoint_age: Option<Duration>,
}

impl OnDisk {
    /// # Errors
    /// The directory cannot be read.
    pub fn of(dir: &Path) -> io::Result<OnDisk> {
        let bytes = |name: &str| fs::metadata(dir.join(name)).map_or(0, |file| file.len());
        let mut found =
            OnDisk { journal_bytes: bytes(store::DB_FILE), wal_bytes: bytes(store::WAL_FILE), ..OnDisk::default() };
        for (_, path) in checkpoint::files(dir)? {
            // One that is replaced meanwhile has no size any more.
            let Ok(file) = fs::metadata(&path) else { continue };
            found.checkpoint_bytes += file.len();
            // A clock that was set back makes it no younger than now.
            let age = file.modified().map_or(Duration::ZERO, |written| written.elapsed().unwrap_or_default());
            found.checkpoint_age = Some(found.checkpoint_age.map_or(age, |other| other.min(age)));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_names_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(OnDisk::of(dir.path()).unwrap(), OnDisk::default());
        for (name, bytes) in [("journal.db", 3), ("journal.db-wal", 4), ("dead-letters.db", 5), ("LOCK", 6)] {
            fs::write(dir.path().join(name), vec![0; bytes]).unwrap();
        }
        checkpoint::write(dir.path(), 7, |draft| draft.section(&[1; 100])).unwrap();
        let found = OnDisk::of(dir.path()).unwrap();
        assert_eq!((found.journal_bytes, found.wal_bytes), (3, 4));
        assert!(found.checkpoint_bytes > 100 && found.checkpoint_age.unwrap() < Duration::from_secs(60), "{found:?}");
    }
}
