//! Checkpoints: whole or absent.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::journal::checkpoint::{Latest, latest, write};

/// Position and sections.
type Found = (u64, Vec<Vec<u8>>);

/// The newest whole checkpoint, and how many newer ones are damaged.
fn sections(dir: &Path) -> (Option<Found>, usize) {
    let Latest { checkpoint, damaged } = latest(dir).unwrap();
    let found = checkpoint.map(|mut checkpoint| {
        let mut all = Vec::new();
        while let Some(section) = checkpoint.next_section().unwrap() {
            all.push(section);
        }
        assert!(checkpoint.next_section().unwrap().is_none());
        (checkpoint.position(), all)
    });
    (found, damaged.len())
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
    write(dir.path(), 9, &mut [vec![1; 700_000]].into_iter()).unwrap();
    let all = vec![vec![], b"abc".to_vec(), vec![7; 600_000], vec![]];
    write(dir.path(), 10, &mut all.clone().into_iter()).unwrap();
    fs::write(dir.path().join("checkpoint-00000000000000000011.tmp"), "half").unwrap();
    assert_eq!(sections(dir.path()), (Some((10, all)), 0));
    assert_eq!(names(dir.path()), ["checkpoint-00000000000000000010.bin"]);
    write(dir.path(), 0, &mut std::iter::empty()).unwrap();
    assert_eq!(sections(dir.path()), (Some((0, vec![])), 0));
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn a_sections_iterator_that_dies_leaves_the_earlier_checkpoint() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 3, &mut [b"kept".to_vec()].into_iter()).unwrap();
    let died = std::panic::catch_unwind(|| {
        let mut dies = (0..9).map(|i| if i < 5 { vec![i; 500_000] } else { panic!("half way") });
        write(dir.path(), 4, &mut dies)
    });
    assert!(died.is_err());
    assert_eq!(sections(dir.path()), (Some((3, vec![b"kept".to_vec()])), 0));
    assert_eq!(names(dir.path()).len(), 1);
}

#[test]
fn damage_at_any_byte_is_reported_and_the_checkpoint_absent() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 5, &mut [b"first".to_vec(), vec![], b"the third one".to_vec()].into_iter()).unwrap();
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
    write(dir.path(), 4, &mut std::iter::empty()).unwrap();
    assert_eq!(sections(dir.path()), (Some((4, vec![])), 0), "a damaged one ahead is gone after the next");
}

#[test]
fn an_older_whole_checkpoint_serves_where_the_newest_is_damaged() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), 5, &mut [b"old".to_vec()].into_iter()).unwrap();
    fs::write(dir.path().join("checkpoint-00000000000000000007.bin"), "no checkpoint").unwrap();
    assert_eq!(sections(dir.path()), (Some((5, vec![b"old".to_vec()])), 1));
}
