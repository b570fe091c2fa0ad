//! The fuzz targets over their corpus: its seeds, and the input of every finding so far.
//!
//! `fuzz/src/` has what a target does with an input; `scripts/fuzz.sh` lets libFuzzer make more of them. A finding
//! becomes a test by putting its input into `fuzz/corpus/TARGET/` under a name that says what it did.

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[path = "fuzz/door_seeds.rs"]
mod door_seeds;
#[path = "fuzz/form_seeds.rs"]
mod form_seeds;
#[path = "../src/access/tests/mint.rs"]
mod mint;
#[path = "fuzz/seeds.rs"]
mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use targets::TARGETS;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = root().join("fuzz/corpus").join(target);
    let listed = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_target_takes_its_whole_corpus() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no seeds");
        for path in inputs {
            let input = fs::read(&path).unwrap();
            let taken = std::panic::catch_unwind(|| target(&input));
            assert!(taken.is_ok(), "{} fails, see above", path.display());
        }
    }
}

/// Each seed also cut at every length and with every byte changed: what a fuzzer would try first.
#[test]
fn every_target_takes_its_seeds_cut_and_changed() {
    for (name, target) in TARGETS {
        // A target that makes files is slow; the fuzzer has time for it.
        let steps = if ["backup", "journal", "checkpoint", "recovery"].contains(&name) { 12 } else { 150 };
        for path in corpus(name) {
            let input = fs::read(&path).unwrap();
            let step = (input.len() / steps).max(1);
            for at in (0..input.len()).step_by(step) {
                target(&input[..at]);
                let mut changed = input.clone();
                changed[at] = changed[at].wrapping_add(1 + (at % 255) as u8);
                target(&changed);
            }
        }
    }
}

/// `scripts/fuzz.sh` takes the folders for the targets.
#[test]
fn every_target_has_a_corpus_and_the_other_way_round() {
    let listed = fs::read_dir(root().join("fuzz/corpus")).unwrap();
    let folders: BTreeSet<String> = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, targets);
}

/// Seeds come from the real encoders. `TASKTALLY_FUZZ_SEEDS=write` writes them anew after a format changed.
#[test]
fn the_seeds_reach_what_they_are_for() {
    for (target, name, seed) in seeds::all() {
        let path = root().join("fuzz/corpus").join(target).join(format!("seed-{name}"));
        if std::env::var_os("TASKTALLY_FUZZ_SEEDS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &seed).unwrap();
        }
        assert!(path.is_file(), "{} is missing: TASKTALLY_FUZZ_SEEDS=write", path.display());
    }
}
