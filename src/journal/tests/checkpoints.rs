//! Checkpoints: whole or absent.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::journal::checkpoint::{Draft, Latest, latest, write};

/// Position and sections.
type Found = (u64, Vec<Vec<u8>>);

/// The newest whole checkpoint, and how many newer ones are damaged.
fn sections(dir: &Path) -> (Option<Found>, usize) {
    let Latest { checkpoint, damaged } = latest(dir).unwrap();
    let found = checkpoint.map(|mut checkpoint| {
        let mut all = Vec::new();
        while let Some(section) = checkpoint.next_section().unwrap() {
            all.push(section.to_vec());
        }
        assert!(checkpoint.next_section().unwrap().is_none());
        (checkpoint.position(), all)
    });
    (found, damaged.len())
}

/// Writes a checkpoint of these sections.
fn keep(dir: &Path, position: u64, sections: &[&[u8]]) {
    write(dir, position, |draft| sections.iter().try_for_each(|section| draft.section(section))).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_newest_is_read_back_and_the_others_are_gone() {
    let dir = TempDir::new().unwrap();
    assert_eq!(sections(dir.path()), (None, 0));
    keep(dir.path(), 9, &[&vec![1; 700_000]]);
    let large = vec![7; 1_600_000];
    let all: [&[u8]; 4] = [b"", b"abc", &large, b""];
    keep(dir.path(), 10, &all);
    fs::write(dir.path().join("checkpoint-00000000000000000011.tmp"), "half").unwrap();
    assert_eq!(sections(dir.path()), (Some((10, all.map(<[u8]>::to_vec).to_vec())), 0));
    assert_eq!(names(dir.path()), ["checkpoint-00000000000000000010.bin"]);
    keep(dir.path(), 0, &[]);
    assert_eq!(sections(dir.path()), (Some((0, vec![])), 0));
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn a_writer_that_dies_leaves_the_earlier_checkpoint() {
    let dir = TempDir::new().unwrap();
    keep(dir.path(), 3, &[b"kept"]);
    let died = std::panic::catch_unwind(|| {
        write(dir.path(), 4, |draft| {
            draft.section(&vec![0; 500_000])?;
            draft.section_in_parts(|section, spill| {
                section.resize(500_000, 1);
                spill(section);
                panic!("half way")
            })
        })
    });
    assert!(died.is_err());
    assert_eq!(sections(dir.path()), (Some((3, vec![b"kept".to_vec()])), 0));
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn damage_at_any_byte_is_reported_and_the_checkpoint_absent() {
    let dir = TempDir::new().unwrap();
    keep(dir.path(), 5, &[b"first", b"", b"the third one"]);
    let path = dir.path().join(&names(dir.path())[0]);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, flipped).unwrap();
        assert_eq!(sections(dir.path()), (None, 1), "flipped at {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(sections(dir.path()), (None, 1), "cut at {at}");
    }
    fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    assert_eq!(sections(dir.path()), (None, 1), "longer");
    fs::write(&path, &whole).unwrap();
    fs::rename(&path, dir.path().join("checkpoint-00000000000000000006.bin")).unwrap();
    assert_eq!(sections(dir.path()), (None, 1), "under the name of another");
    keep(dir.path(), 4, &[]);
    assert_eq!(sections(dir.path()), (Some((4, vec![])), 0), "a damaged one ahead is gone after the next");
}

#[test]
fn an_older_whole_checkpoint_serves_where_the_newest_is_damaged() {
    let dir = TempDir::new().unwrap();
    keep(dir.path(), 5, &[b"old"]);
    fs::write(dir.path().join("checkpoint-00000000000000000007.bin"), "no checkpoint").unwrap();
    assert_eq!(sections(dir.path()), (Some((5, vec![b"old".to_vec()])), 1));
}

#[test]
fn a_section_in_parts_is_the_same_file() {
    // Shorter than any part, longer than many, and as long as two.
    for length in [0, 1, 5_000, 262_144, 524_288, 3_000_001] {
        let body: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
        let (whole, parts) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        keep(whole.path(), 8, &[b"before", &body, b"after"]);
        let mut most = 0;
        let written = write(parts.path(), 8, |draft| {
            draft.section(b"before")?;
            draft.section_in_parts(|section, spill| {
                for piece in body.chunks(1_000) {
                    section.extend_from_slice(piece);
                    most = most.max(section.len());
                    spill(section);
                }
            })?;
            draft.section(b"after")
        });
        written.unwrap();
        let file = |dir: &TempDir| fs::read(dir.path().join(&names(dir.path())[0])).unwrap();
        assert!(file(&whole) == file(&parts), "of {length} bytes");
        assert!(most < 264_000, "{most} bytes of {length} lay in memory");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_part_that_cannot_be_written_fails_the_section() {
    let full = Path::new("/dev/full");
    let mut draft = Draft::begin(full, 1).unwrap();
    let failed = draft.section_in_parts(|section, spill| {
        for _ in 0..8 {
            section.resize(300_000, 0);
            spill(section);
            assert!(section.is_empty(), "what cannot be written does not pile up");
        }
    });
    assert_eq!(failed.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
}
