//! Checkpoints: what the log means up to a position, as sections of bytes that the caller understands. The log is
//! the truth; a checkpoint only spares replaying it, so one that is damaged is reported and otherwise as good as
//! absent. Whoever calls holds the directory's [`super::Journal`].
//!
//! A checkpoint is one file, `checkpoint-<position>.bin`: magic and format (16 bytes), position (8), their
//! checksum (8); for each section its length (8), its checksum (8) and its bytes; then a trailer of all ones
//! where a length would be, the number of sections (8) and a checksum over all checksums (8). Numbers are
//! little-endian. It is written under another name and renamed once synced: a file with that name is complete.

use std::{
    fs::{self, File},
    io::{self, BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{
    files,
    tile::{MAX_POSITION, sum},
};

mod draft;
mod section;

pub use draft::Draft;
pub use section::Section;

const MAGIC: [u8; 16] = *b"tasktally ckpt\0\x01";
const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".bin";
const TEMPORARY: &str = ".tmp";
const TRAILER: u64 = u64::MAX;
const HEADER_BYTES: u64 = 32;
const BUFFER_BYTES: usize = 1 << 18;

/// Why a file is no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    #[error("it is cut short")]
    Short,
    #[error("it goes on after its end")]
    Long,
    #[error("its {0} has a wrong checksum")]
    Checksum(&'static str),
    #[error("section {0} has a wrong checksum")]
    Section(u64),
    #[error("it names position {found}, its file name {named}")]
    Position { named: u64, found: u64 },
    #[error("it names position {0}, which no journal reaches")]
    Beyond(u64),
    #[error("it cannot be read: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof { Self::Short } else { Self::Io(error) }
    }
}

/// What [`latest`] found.
#[derive(Debug)]
pub struct Latest {
    /// The newest whole checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Newer ones that are damaged, for the caller to log. The next [`write`] removes them.
    pub damaged: Vec<(PathBuf, Flaw)>,
}

/// A whole checkpoint, read section by section.
#[derive(Debug)]
pub struct Checkpoint {
    position: u64,
    sections: Sections,
}

impl Checkpoint {
    /// The last position that it covers.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next section, in the order written; `None` after the last. Checked again, although [`latest`] did.
    pub fn next_section(&mut self) -> Result<Option<Section>, Flaw> {
        self.sections.next(|file, length| {
            // No longer than the file is.
            let mut section = Section::zeroed(usize::try_from(length).map_err(|_| Flaw::Short)?)?;
            file.read_exact(section.bytes_mut())?;
            let sum = xxh3_64(&section);
            Ok((section, sum))
        })
    }
}

/// Writes a checkpoint, makes it durable, then removes all others. An error leaves the earlier ones in place.
pub fn write(dir: &Path, position: u64, fill: impl FnOnce(&mut Draft) -> io::Result<()>) -> io::Result<()> {
    let path = dir.join(format!("{PREFIX}{position:020}{SUFFIX}"));
    let temporary = path.with_extension("tmp");
    let drafted = Draft::begin(&temporary, position).and_then(|mut draft| {
        fill(&mut draft)?;
        draft.finish()
    });
    if let Err(error) = drafted.and_then(|()| fs::rename(&temporary, &path)) {
        let _best_effort = files::remove(&temporary);
        return Err(error);
    }
    files::sync_folder(dir)?;
    for (_, other) in self::files(dir)? {
        if other != path {
            files::remove(&other)?;
        }
    }
    remove_temporary(dir)
}

fn header_sum(position: u64) -> u64 {
    sum(&MAGIC, &[position])
}

/// A checkpoint's file, and what it is found to be.
#[derive(Debug)]
pub struct Candidate {
    pub position: u64,
    pub path: PathBuf,
    /// Read through once.
    pub checkpoint: Result<Checkpoint, Flaw>,
}

/// Every checkpoint there is, the newest first. Changes nothing.
pub fn survey(dir: &Path) -> io::Result<Vec<Candidate>> {
    let mut candidates = files(dir)?;
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    let look = |(position, path): (u64, PathBuf)| {
        let sections = verify(&path, position).and_then(|()| Sections::open(&path, position));
        Candidate { position, path, checkpoint: sections.map(|sections| Checkpoint { position, sections }) }
    };
    Ok(candidates.into_iter().map(look).collect())
}

/// Finds the newest whole checkpoint: reads it through once, through a small buffer, before it hands it out. Removes
/// what an interrupted [`write`] left.
pub fn latest(dir: &Path) -> io::Result<Latest> {
    remove_temporary(dir)?;
    let mut candidates = files(dir)?;
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    let mut damaged = Vec::new();
    for (position, path) in candidates {
        match verify(&path, position).and_then(|()| Sections::open(&path, position)) {
            Ok(sections) => return Ok(Latest { checkpoint: Some(Checkpoint { position, sections }), damaged }),
            Err(flaw) => damaged.push((path, flaw)),
        }
    }
    Ok(Latest { checkpoint: None, damaged })
}

fn verify(path: &Path, position: u64) -> Result<(), Flaw> {
    let mut sections = Sections::open(path, position)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    while sections.next(|file, length| Ok(((), sum_through(file, length, &mut buffer)?)))?.is_some() {}
    Ok(())
}

/// The checksum of the next `length` bytes, in constant memory.
fn sum_through(file: &mut impl Read, length: u64, buffer: &mut [u8]) -> Result<u64, Flaw> {
    let mut hash = Xxh3::new();
    let mut left = length;
    while left > 0 {
        let part = &mut buffer[..usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES))];
        file.read_exact(part)?;
        hash.update(part);
        left -= part.len() as u64;
    }
    Ok(hash.digest())
}

/// A file behind its header.
#[derive(Debug)]
struct Sections {
    file: BufReader<File>,
    /// Bytes not read yet: no length is believed beyond.
    left: u64,
    read: u64,
    chain: u64,
    ended: bool,
}

impl Sections {
    fn open(path: &Path, named: u64) -> Result<Self, Flaw> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        let (position, stored) = (number(&mut file)?, number(&mut file)?);
        if magic != MAGIC || stored != header_sum(position) {
            return Err(Flaw::Checksum("header"));
        }
        if position != named {
            return Err(Flaw::Position { named, found: position });
        }
        if position > MAX_POSITION {
            return Err(Flaw::Beyond(position));
        }
        Ok(Self { file, left: length.saturating_sub(HEADER_BYTES), read: 0, chain: stored, ended: false })
    }

    /// Takes one section, by a function that consumes so many bytes and answers their checksum.
    fn next<T>(
        &mut self,
        take: impl FnOnce(&mut BufReader<File>, u64) -> Result<(T, u64), Flaw>,
    ) -> Result<Option<T>, Flaw> {
        if self.ended {
            return Ok(None);
        }
        let (length, stored) = (number(&mut self.file)?, number(&mut self.file)?);
        self.left = self.left.checked_sub(16).ok_or(Flaw::Short)?;
        if length == TRAILER {
            return self.end(stored).map(|()| None);
        }
        self.left = self.left.checked_sub(length).ok_or(Flaw::Short)?;
        let (section, body_sum) = take(&mut self.file, length)?;
        if stored != sum(b"section", &[self.read, length, body_sum]) {
            return Err(Flaw::Section(self.read));
        }
        self.read += 1;
        self.chain = sum(b"chain", &[self.chain, stored]);
        Ok(Some(section))
    }

    fn end(&mut self, count: u64) -> Result<(), Flaw> {
        let stored = number(&mut self.file)?;
        if count != self.read || stored != sum(b"trailer", &[count, self.chain]) {
            return Err(Flaw::Checksum("trailer"));
        }
        if self.left != 8 {
            return Err(Flaw::Long);
        }
        self.ended = true;
        Ok(())
    }
}

fn number(file: &mut impl Read) -> Result<u64, Flaw> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The checkpoints of a directory, by the positions in their names, in no order.
pub(super) fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let position = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok());
        if let Some(position) = position {
            found.push((position, entry.path()));
        }
    }
    Ok(found)
}

fn remove_temporary(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(TEMPORARY)) {
            files::remove(&entry.path())?;
        }
    }
    Ok(())
}
