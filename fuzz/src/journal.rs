//! The data directory: rows, blocks, the journal's files, checkpoints, and the way up from all of them.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tasktally::event::{DAY_MS, Millis};
use tasktally::journal::{Compression, Journal, Row, checkpoint, read_block};
use tasktally::pipeline::{
    GrowthLimits, Settings, recover,
    row::{self, Entry},
};

use super::data::{Bytes, NOW, directory};
use super::engine::ask;

#[path = "../../src/pipeline/recovery/tests/small.rs"]
mod small;

/// A row of any bytes is refused, or its events are written and read alike.
pub fn row(input: &[u8]) {
    let mut said = Vec::new();
    let mut moment = NOW;
    let read = row::decode(input, |entry, admitted_at| {
        moment = admitted_at;
        said.push(entry);
    });
    if read.is_err() {
        return;
    }
    let again = match &said[..] {
        [Entry::Forget(workspace)] => row::encode_forget(*workspace, moment),
        entries => {
            let event = |entry: &Entry| match entry {
                Entry::Event(event) => event.clone(),
                Entry::Forget(_) => panic!("a row that forgets says nothing else"),
            };
            row::encode(&entries.iter().map(event).collect::<Vec<_>>(), moment)
        }
    };
    let mut back = Vec::new();
    row::decode(&again, |entry, _| back.push(entry)).expect("a row that was just written");
    assert_eq!(back, said);
}

/// A block of any bytes, or of any content well compressed, is refused or hands out rows that add up.
pub fn block(input: &[u8]) {
    let mut bytes = Bytes(input);
    let (compress, events) = (bytes.byte() % 2 == 1, 1 + u64::from(bytes.short()));
    let newest_ms = bytes.number();
    let body = if compress {
        let packed = zstd::bulk::compress(bytes.0, 1).expect("compressing memory");
        [&(bytes.0.len() as u32).to_le_bytes()[..], &packed].concat()
    } else {
        bytes.0.to_vec()
    };
    let (mut next, mut newest, mut out) = (5, i64::MIN, 0);
    let read = read_block((5, events, newest_ms), &body, &mut |record| {
        assert_eq!(record.first, next);
        next += u64::from(record.events);
        newest = newest.max(record.newest_ms);
        out += record.body.len();
    });
    if read.is_ok() {
        assert_eq!((next, newest), (5 + events, newest_ms), "what a block holds adds up to its header");
        assert!(!compress || out <= bytes.0.len());
    }
}

/// What a journal says: its rows with their first positions, and how many carry-overs.
type Contents = (Vec<(u64, Vec<u8>)>, usize);

/// The files of a journal with rows, a block, a gap, a carry-over and a write-ahead log, and what it says.
struct Sound {
    db: Vec<u8>,
    wal: Vec<u8>,
    rows: Vec<(u64, Vec<u8>)>,
    carries: usize,
}

const FILES: [&str; 2] = ["journal.db", "journal.db-wal"];

fn sound() -> &'static Sound {
    static SOUND: OnceLock<Sound> = OnceLock::new();
    SOUND.get_or_init(|| {
        let dir = directory();
        let open = || Journal::open(dir.path(), "fuzz").expect("a sound journal").0;
        let append = |journal: &mut Journal, rows: u16, days: i64| {
            let bodies: Vec<[u8; 10]> = (0..rows).map(|n| [n as u8; 10]).collect();
            let newest_ms = NOW.0 - days * DAY_MS;
            let rows: Vec<Row<'_>> = bodies.iter().map(|body| Row { events: 2, newest_ms, body, ends: None }).collect();
            journal.append(&rows).expect("an append");
        };
        let mut journal = open();
        append(&mut journal, 4, 40);
        append(&mut journal, 1040, 9);
        journal.put_carry(b"lasting", &[7; 100]).expect("a carry-over");
        assert_eq!(journal.drop_rows(NOW.0 - 30 * DAY_MS, 8, 100).expect("dropping"), 4);
        let old = Compression { older_than_ms: NOW.0 - DAY_MS, tail_bytes: u64::MAX };
        assert!(journal.compress(old).expect("compressing"), "there is a block");
        // All that is above is in the main file; only whole groups of what follows can be lost with the log's end.
        journal.close().expect("closing");
        let mut journal = open();
        (0..10).for_each(|_| append(&mut journal, 1, 0));
        let (rows, carries) = contents(&mut journal).expect("a sound journal");
        drop(journal);
        let read = |name: &str| fs::read(dir.path().join(name)).expect("a journal's file");
        Sound { db: read(FILES[0]), wal: read(FILES[1]), rows, carries }
    })
}

/// All that can be read; `None` where damage was named.
pub fn contents(journal: &mut Journal) -> Option<Contents> {
    let (mut rows, mut carries) = (Vec::new(), 0);
    let read = journal.read(0, &mut |record| {
        rows.push((record.first, record.body.to_vec()));
        ControlFlow::Continue(())
    });
    let carried = journal.carries(&mut |_| {
        carries += 1;
        ControlFlow::Continue(())
    });
    (read.is_ok() && carried.is_ok()).then_some((rows, carries))
}

/// Any bytes in place of the main file or of the write-ahead log, or a sound pair with patches: refused, or read as what
/// it was. A write-ahead log may lose its end, whole groups of it.
pub fn journal(input: &[u8]) {
    let mut bytes = Bytes(input);
    let sound = sound();
    let mode = bytes.byte() % 4;
    let (mut db, mut wal) = (sound.db.clone(), sound.wal.clone());
    match mode {
        0 => (db, wal) = (bytes.0.to_vec(), Vec::new()),
        1 => wal = bytes.0.to_vec(),
        // Patches: of which file, where, which bytes.
        _ => {
            while !bytes.0.is_empty() {
                let file = if bytes.byte() % 2 == 0 { &mut db } else { &mut wal };
                let at = usize::from(bytes.short()) * 4 % file.len();
                let length = usize::from(bytes.byte() % 9);
                let patch = bytes.piece(length);
                let end = (at + patch.len()).min(file.len());
                file[at..end].copy_from_slice(&patch[..end - at]);
                if length == 0 {
                    file.truncate(at.max(1));
                }
            }
        }
    }
    let dir = directory();
    fs::write(dir.path().join(FILES[0]), db).expect("writing to memory");
    if !wal.is_empty() {
        fs::write(dir.path().join(FILES[1]), wal).expect("writing to memory");
    }
    let Ok((mut journal, _)) = Journal::open(dir.path(), "fuzz") else { return };
    let Some((rows, carries)) = contents(&mut journal) else { return };
    if mode != 0 {
        assert!(sound.rows.starts_with(&rows), "what is read is what was written, up to a lost end");
        assert!(carries <= sound.carries);
    }
    let body = [1; 9];
    if journal.append(&[Row { events: 1, newest_ms: NOW.0, body: &body, ends: None }]).is_ok() {
        let end = journal.end();
        drop(journal);
        let (journal, _) = Journal::open(dir.path(), "fuzz").expect("a journal that was read and written");
        assert_eq!(journal.end(), end);
    }
}

fn checkpoint_file(dir: &Path, position: u64) -> PathBuf {
    dir.join(format!("checkpoint-{position:020}.bin"))
}

/// Sections come back as they were written; a file of any bytes, or of a sound one patched, is passed over.
pub fn checkpoint(input: &[u8]) {
    let mut bytes = Bytes(input);
    let dir = directory();
    let (position, patches, raw) = (u64::from(bytes.short()), bytes.byte() % 4, bytes.byte() % 4 == 0);
    let path = checkpoint_file(dir.path(), position);
    let mut changed = false;
    let mut sections: Vec<Vec<u8>> = Vec::new();
    if raw {
        fs::write(&path, bytes.0).expect("writing to memory");
    } else {
        let patch: Vec<(usize, u8)> = (0..patches).map(|_| (usize::from(bytes.short()), bytes.byte())).collect();
        while !bytes.0.is_empty() {
            sections.push(bytes.prefixed().to_vec());
        }
        write_checkpoint(dir.path(), position, &sections);
        let mut file = fs::read(&path).expect("reading memory");
        let before = file.clone();
        for (at, byte) in patch {
            let at = at % file.len();
            file[at] ^= byte;
        }
        changed = file != before;
        fs::write(&path, file).expect("writing to memory");
    }
    let latest = checkpoint::latest(dir.path()).expect("a directory that can be read");
    let Some(mut found) = latest.checkpoint else {
        assert!(raw || changed, "a sound checkpoint was passed over: {:?}", latest.damaged);
        return;
    };
    assert!(!changed, "a damaged checkpoint was taken");
    assert_eq!(found.position(), position);
    let mut read = Vec::new();
    while let Some(section) = found.next_section().expect("a section that was checked") {
        read.push(section.to_vec());
    }
    assert!(raw || read == sections);
}

fn write_checkpoint(dir: &Path, position: u64, sections: &[Vec<u8>]) {
    let written = checkpoint::write(dir, position, |draft| sections.iter().try_for_each(|body| draft.section(body)));
    written.expect("writing to memory");
}

/// A whole start on rows, carry-overs and a checkpoint whose checksums hold and whose content is anything: it ends in a
/// refusal that names something, or in workspaces that answer.
pub fn recovery(input: &[u8]) {
    let mut bytes = Bytes(input);
    static NEW: OnceLock<Vec<u8>> = OnceLock::new();
    // Making a file costs more than all that follows.
    let new = NEW.get_or_init(|| {
        let dir = directory();
        let (journal, _) = Journal::open(dir.path(), "fuzz").expect("a new journal");
        journal.close().expect("closing");
        fs::read(dir.path().join(FILES[0])).expect("a journal's file")
    });
    let dir = directory();
    fs::write(dir.path().join(FILES[0]), new).expect("writing to memory");
    let (mut journal, _) = Journal::open(dir.path(), "fuzz").expect("a journal");
    let (rows, carries, sections) = (bytes.byte() % 4, bytes.byte() % 4, bytes.byte() % 4);
    for _ in 0..rows {
        let events = u32::from(bytes.byte()).max(1);
        let body = bytes.prefixed();
        journal.append(&[Row { events, newest_ms: NOW.0, body, ends: None }]).expect("an append");
    }
    for _ in 0..carries {
        let key = bytes.piece(21);
        journal.put_carry(key, bytes.prefixed()).expect("a carry-over");
    }
    if sections > 0 {
        let position = if bytes.byte() % 8 == 0 { bytes.number().cast_unsigned() } else { 1 };
        let sections: Vec<Vec<u8>> = (0..sections).map(|_| bytes.prefixed().to_vec()).collect();
        write_checkpoint(dir.path(), position, &sections);
    }
    match recover(&mut journal, dir.path(), &small::settings(30 * DAY_MS)) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(mut recovered) => {
            for workspace in recovered.workspaces.values_mut() {
                ask(workspace, NOW);
                ask(workspace, Millis(NOW.0 + 40 * DAY_MS));
            }
        }
    }
}
