//! One process at a time: an advisory lock on `LOCK`, which the system lets go however the process ends. What the
//! file says is for people only; stale content after a kill means nothing.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    process,
};

use chrono::{SecondsFormat, Utc};

use super::OpenError;

pub(super) const LOCK_FILE: &str = "LOCK";

/// How much of another holder's words is repeated.
const SHOWN_BYTES: u64 = 512;

/// Held as long as the value lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the directory, or says who has it.
    #[expect(clippy::disallowed_methods, reason = "only said to people")]
    pub(super) fn take(dir: &Path, note: &str) -> Result<Self, OpenError> {
        let path = dir.join(LOCK_FILE);
        let failed = |doing| {
            let path = path.clone();
            move |source| OpenError::Io { doing, path, source }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open the lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held { dir: dir.to_path_buf(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let since = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let words = format!("process {} since {since}: {note}\n", process::id());
        // One write of one short line, so that whoever reads meanwhile sees all of it or nothing.
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed("write"))?;
        file.write_all(words.as_bytes()).map_err(failed("write"))?;
        Ok(Self { file })
    }
}

/// Lets go by word, not by closing alone: a process that another thread is just starting holds a copy of the file
/// until it runs its own program, and would keep the lock meanwhile.
impl Drop for Lock {
    fn drop(&mut self) {
        let _closing_does_it_too = self.file.unlock();
    }
}

fn holder(file: &mut File) -> String {
    let mut words = Vec::new();
    let _best_effort = file.take(SHOWN_BYTES).read_to_end(&mut words);
    let words = String::from_utf8_lossy(&words);
    let line = words.lines().next().unwrap_or_default().trim();
    if line.is_empty() { "a process that is just starting".to_owned() } else { line.to_owned() }
}
