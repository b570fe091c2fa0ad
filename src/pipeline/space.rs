//! Free space of the data directory's disk. Events are refused before the disk is full: what is left is for what was
//! acknowledged, for checkpoints, and for dropping old rows, which takes space before it gives space.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::limits;

/// Asks a disk for the bytes that are free.
type Ask = Box<dyn FnMut(&Path) -> io::Result<u64> + Send>;

/// Looks at a disk now and then.
pub struct Space {
    dir: PathBuf,
    least_bytes: u64,
    ask: Ask,
    /// In the clock's uptime.
    look_at: Duration,
    /// Whether it was said that the disk does not tell.
    complained: bool,
}

impl Space {
    /// `None` where nothing is to be looked at.
    pub fn of(dir: &Path, least_bytes: u64) -> Option<Space> {
        let is_watched = least_bytes > 0 && !dir.as_os_str().is_empty();
        is_watched.then(|| Space::asking(dir, least_bytes, Box::new(free_bytes)))
    }

    fn asking(dir: &Path, least_bytes: u64, ask: Ask) -> Space {
        Space { dir: dir.to_owned(), least_bytes, ask, look_at: Duration::ZERO, complained: false }
    }

    /// `None` where it is not time to look. Else what is wrong, if anything. A disk that does not tell is one with room:
    /// the journal will see for itself.
    pub fn look(&mut self, uptime: Duration) -> Option<Option<String>> {
        if uptime < self.look_at {
            return None;
        }
        self.look_at = uptime + limits::FREE_DISK_LOOK_INTERVAL;
        match (self.ask)(&self.dir) {
            Ok(free) if free < self.least_bytes => Some(Some(format!(
                "{free} bytes are free on the disk of {}, less than min_free_disk = {} bytes",
                self.dir.display(),
                self.least_bytes
            ))),
            Ok(_) => Some(None),
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, dir = %self.dir.display(), "cannot ask for the free space of the disk");
                }
                Some(None)
            }
        }
    }
}

/// The bytes that are free on the disk of a directory, for this user.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_at_once_a_second_and_refused_below_the_least() {
        let mut free = vec![Ok(99), Err(io::ErrorKind::PermissionDenied.into()), Ok(100), Ok(99)];
        let ask = move |_: &Path| free.pop().expect("no more looks than these");
        let mut space = Space::asking(Path::new("there"), 100, Box::new(ask));
        let cause = "99 bytes are free on the disk of there, less than min_free_disk = 100 bytes";
        let mut look = |ms| space.look(Duration::from_millis(ms));
        assert_eq!(look(0), Some(Some(cause.to_owned())));
        assert_eq!(look(999), None);
        assert_eq!(look(1_000), Some(None), "exactly the least is enough");
        assert_eq!(look(2_000), Some(None), "a disk that does not tell");
        assert_eq!(look(3_000), Some(Some(cause.to_owned())));
    }

    #[test]
    fn a_real_disk_tells() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Space::of(dir.path(), 0).is_none());
        assert_eq!(Space::of(dir.path(), 1).unwrap().look(Duration::ZERO), Some(None));
        assert!(Space::of(dir.path(), u64::MAX).unwrap().look(Duration::ZERO).flatten().is_some());
    }
}
