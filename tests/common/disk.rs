//! A disk of a few megabytes, to be filled.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory; unmounted when dropped.
pub struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// Of this size, as mount(8) takes it. Where none may be mounted, that is said past the test harness.
    pub fn mount(size: &str) -> Option<Disk> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .output();
        let why = match mount {
            Ok(output) if output.status.success() => return Some(Disk { dir }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        // Not by eprintln, which the test harness keeps to itself.
        let skipped = format!("SKIPPED {}: cannot mount a small file system: {why}\n", module_path!());
        io::stderr().write_all(skipped.as_bytes()).unwrap();
        None
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Bytes that are left.
    pub fn free(&self) -> usize {
        let output = Command::new("df").args(["-B1", "--output=avail"]).arg(self.path()).output().expect("df runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace()
            .last()
            .and_then(|bytes| bytes.parse().ok())
            .unwrap_or_else(|| panic!("df said {text:?}"))
    }

    /// Takes every byte that is left.
    pub fn fill(&self) -> PathBuf {
        self.take(usize::MAX)
    }

    /// Takes at most so many bytes; they are free again when the file is removed.
    pub fn take(&self, bytes: usize) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        for _ in 0..bytes / 4096 {
            match file.write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return path,
                Err(error) => panic!("{error}"),
            }
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever has a file open there still may have it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
