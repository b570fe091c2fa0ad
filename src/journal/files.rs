//! Files and folders whose existence itself must survive a power cut.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::OpenError;

/// Makes entries of a folder durable: a new or renamed file is safe only once its folder is synced.
pub(super) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates a folder and what is missing above it, each synced into its parent.
pub(super) fn create_folder(dir: &Path) -> Result<(), OpenError> {
    let failed = |doing, path: &Path| {
        let path = path.to_path_buf();
        move |source| OpenError::Io { doing, path, source }
    };
    let missing: Vec<&Path> = dir.ancestors().take_while(|d| !d.as_os_str().is_empty() && !d.exists()).collect();
    for dir in missing.into_iter().rev() {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("create the data directory", dir)(error));
            }
            _ => {}
        }
        let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_folder(parent).map_err(failed("sync", parent))?;
    }
    Ok(())
}

/// Removes a file; that it is not there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Writes a file of so many bytes and removes it: whether the disk has room, told by the disk itself.
pub(super) fn try_space(dir: &Path, bytes: u64) -> io::Result<()> {
    let path = dir.join("trial.tmp");
    let written = File::create(&path).and_then(|mut file| {
        // Not zeroes, which some file systems store without space.
        io::copy(&mut io::repeat(0xa5).take(bytes), &mut file)?;
        file.sync_all()
    });
    let removed = remove(&path);
    written.and(removed)
}

/// Whether a write was refused rather than failed: for want of room or permission.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    let kind = error.kind();
    matches!(kind, K::StorageFull | K::QuotaExceeded | K::FileTooLarge | K::ReadOnlyFilesystem | K::PermissionDenied)
}

/// Which files the names of open files stood for. A file that is open stays whole when its name is given to another or
/// to none, and what is written to it then is lost to whoever comes by the name.
#[derive(Debug)]
pub(super) struct Places(Vec<(PathBuf, Option<Identity>)>);

/// Device and inode.
type Identity = (u64, u64);

impl Places {
    pub(super) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let place = |file: PathBuf| {
            let found = identity(&file);
            (file, found)
        };
        Self(files.into_iter().map(place).collect())
    }

    /// The first that is another one now, or none.
    pub(super) fn moved(&self) -> Option<PathBuf> {
        let moved = self.0.iter().find(|(file, opened)| opened.is_none() || identity(file) != *opened);
        moved.map(|(file, _)| file.clone())
    }
}

fn identity(file: &Path) -> Option<Identity> {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino()))
}
