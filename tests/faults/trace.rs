//! What a kill or a power cut leaves, from the record of all changes to a folder.
//!
//! A [`Disk`] takes one record after the other. At any point it knows three kinds of images: what the files hold now,
//! which is what a killed process leaves; what is surely on the disk, where everything was dropped that was not synced;
//! and any mixture, in which some sectors of what was not synced have reached the disk and others have not. A name is on
//! the disk once its folder is synced, and contents once their file is; renames and the like reach the disk in order.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::{Rng, RngExt};

/// `enum kind` of the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Open,
    Create,
    Write,
    Truncate,
    Sync,
    SyncFolder,
    Rename,
    Unlink,
    Close,
    /// A process begins.
    Start,
    /// Not of the shim: a process under test says where it is.
    Mark,
}

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    pub kind: Kind,
    /// `enum file` of the shim.
    pub file: u8,
    fd: u32,
    offset: u64,
    /// Of a truncation: the new length.
    length: u64,
    bytes: Vec<u8>,
}

const HEADER_BYTES: usize = 24;
const MARK: u8 = 11;

/// A mark as it is appended to a trace.
pub fn mark(text: &str) -> Vec<u8> {
    let mut record = vec![0; HEADER_BYTES];
    record[0] = MARK;
    record[16..24].copy_from_slice(&(text.len() as u64).to_ne_bytes());
    record.extend_from_slice(text.as_bytes());
    record
}

/// The records of a trace file.
pub fn read(path: &Path) -> Vec<Record> {
    let all = fs::read(path).expect("the trace can be read");
    let mut rest = &all[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (header, after) = rest.split_at(HEADER_BYTES);
        let number = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().unwrap());
        let kind = match header[0] {
            0 => Kind::Open,
            1 => Kind::Create,
            3 => Kind::Write,
            4 => Kind::Truncate,
            5 => Kind::Sync,
            6 => Kind::SyncFolder,
            7 => Kind::Rename,
            8 => Kind::Unlink,
            9 => Kind::Close,
            10 => Kind::Start,
            MARK => Kind::Mark,
            other => panic!("a record of kind {other}"),
        };
        let has_bytes =
            matches!(kind, Kind::Open | Kind::Create | Kind::Write | Kind::Rename | Kind::Unlink | Kind::Mark);
        let (bytes, after) = after.split_at(if has_bytes { number(16) as usize } else { 0 });
        let fd = u32::from_ne_bytes(header[4..8].try_into().unwrap());
        let (offset, length) = (number(8), number(16));
        records.push(Record { kind, file: header[1], fd, offset, length, bytes: bytes.to_vec() });
        rest = after;
    }
    records
}

impl Record {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("names and marks are text")
    }

    /// Whether the disk is another one after it.
    pub fn is_change(&self) -> bool {
        !matches!(self.kind, Kind::Open | Kind::Close | Kind::Start | Kind::Mark)
    }

    /// A write of which only a part was done.
    pub fn torn(&self) -> Record {
        let mut torn = self.clone();
        torn.bytes.truncate(self.bytes.len() / 2);
        torn
    }
}

#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Truncate(u64),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => write(content, *offset as usize, bytes),
            Change::Truncate(length) => content.resize(*length as usize, 0),
        }
    }

    /// Of a write, some sectors; of a truncation, all or nothing.
    fn apply_some(&self, content: &mut Vec<u8>, sector: usize, kept: f64, rng: &mut impl Rng) {
        let Change::Write { offset, bytes } = self else {
            if rng.random_bool(kept) {
                self.apply(content);
            }
            return;
        };
        let (mut at, mut rest) = (*offset as usize, &bytes[..]);
        while !rest.is_empty() {
            let (part, after) = rest.split_at((sector - at % sector).min(rest.len()));
            if rng.random_bool(kept) {
                write(content, at, part);
            }
            (at, rest) = (at + part.len(), after);
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

#[derive(Clone, Default)]
struct Contents {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Since it was synced.
    changes: Vec<Change>,
}

type Names = BTreeMap<String, usize>;

#[derive(Clone)]
enum Naming {
    Add(String, usize),
    Remove(String),
    Move(String, String),
}

impl Naming {
    fn apply(&self, names: &mut Names) {
        match self {
            Naming::Add(name, file) => {
                names.insert(name.clone(), *file);
            }
            Naming::Remove(name) => {
                names.remove(name);
            }
            Naming::Move(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

/// The files of a folder, by name.
pub type Image = BTreeMap<String, Vec<u8>>;

/// A folder as the records so far have left it.
#[derive(Clone, Default)]
pub struct Disk {
    files: Vec<Contents>,
    names: Names,
    synced_names: Names,
    namings: Vec<Naming>,
    open: BTreeMap<u32, usize>,
}

impl Disk {
    /// A folder that holds this, all of it synced.
    pub fn holding(image: &Image) -> Disk {
        let mut disk = Disk::default();
        for (name, content) in image {
            disk.names.insert(name.clone(), disk.files.len());
            disk.files.push(Contents { now: content.clone(), synced: content.clone(), changes: Vec::new() });
        }
        disk.synced_names = disk.names.clone();
        disk
    }

    pub fn take(&mut self, record: &Record) {
        match record.kind {
            Kind::Start => self.open.clear(),
            Kind::Open | Kind::Create if record.text().is_empty() => {}
            Kind::Open => {
                let file = *self.names.get(record.text()).unwrap_or_else(|| panic!("no file {:?}", record.text()));
                self.open.insert(record.fd, file);
            }
            Kind::Create => {
                let file = self.files.len();
                self.files.push(Contents::default());
                self.open.insert(record.fd, file);
                self.name(Naming::Add(record.text().to_owned(), file));
            }
            Kind::Write => self.change(record.fd, Change::Write { offset: record.offset, bytes: record.bytes.clone() }),
            Kind::Truncate => self.change(record.fd, Change::Truncate(record.length)),
            Kind::Sync => {
                let file = &mut self.files[self.open[&record.fd]];
                file.synced.clone_from(&file.now);
                file.changes.clear();
            }
            Kind::SyncFolder => {
                self.synced_names.clone_from(&self.names);
                self.namings.clear();
            }
            Kind::Rename => {
                let (from, to) = record.text().split_once('/').expect("two names");
                self.name(Naming::Move(from.to_owned(), to.to_owned()));
            }
            Kind::Unlink => self.name(Naming::Remove(record.text().to_owned())),
            Kind::Close => {
                self.open.remove(&record.fd);
            }
            Kind::Mark => {}
        }
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.namings.push(naming);
    }

    fn change(&mut self, fd: u32, change: Change) {
        let file = &mut self.files[self.open[&fd]];
        change.apply(&mut file.now);
        file.changes.push(change);
    }

    fn image(&self, names: &Names, mut content: impl FnMut(&Contents) -> Vec<u8>) -> Image {
        names.iter().map(|(name, file)| (name.clone(), content(&self.files[*file]))).collect()
    }

    /// What a killed process leaves: everything.
    pub fn now(&self) -> Image {
        self.image(&self.names, |file| file.now.clone())
    }

    /// What a power cut leaves at least: what was synced.
    pub fn synced(&self) -> Image {
        self.image(&self.synced_names, |file| file.synced.clone())
    }

    /// What a power cut may leave: some sectors, some names.
    pub fn some(&self, rng: &mut impl Rng) -> Image {
        let mut names = self.synced_names.clone();
        for naming in &self.namings[..rng.random_range(0..=self.namings.len())] {
            naming.apply(&mut names);
        }
        let sector = if rng.random_bool(0.5) { 512 } else { 4096 };
        let kept = [0.1, 0.5, 0.9, 1.0][rng.random_range(0..4)];
        self.image(&names, |file| {
            let mut content = file.synced.clone();
            for change in &file.changes {
                change.apply_some(&mut content, sector, kept, rng);
            }
            content
        })
    }

    /// Whether anything would be lost in a power cut.
    pub fn is_synced(&self) -> bool {
        self.namings.is_empty() && self.names.values().all(|file| self.files[*file].changes.is_empty())
    }
}

/// The folder as it is.
pub fn image_of(dir: &Path) -> Image {
    let entries = fs::read_dir(dir).expect("the folder can be listed").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let content = fs::read(entry.path()).expect("a file can be read");
            (entry.file_name().into_string().expect("names are text"), content)
        })
        .collect()
}

/// Writes an image into an empty folder.
pub fn lay_out(image: &Image, dir: &Path) {
    for (name, content) in image {
        fs::write(dir.join(name), content).expect("a file can be written");
    }
}
