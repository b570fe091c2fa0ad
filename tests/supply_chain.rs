//! What the lock files say of the crates that we build on. `scripts/supply-chain.sh` has cargo-deny judge them; here is
//! what must hold for that judgement to be about what is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One crate of a lock file.
#[derive(Debug)]
struct Locked {
    name: String,
    version: String,
    /// `None` for the packages of this repository.
    source: Option<String>,
    has_checksum: bool,
}

fn locked(path: &str) -> Vec<Locked> {
    let text = read(path);
    let crates = text.split("[[package]]").skip(1).map(|package| {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
            Some(line.trim_matches('"').to_owned())
        };
        Locked {
            name: value("name").unwrap(),
            version: value("version").unwrap(),
            source: value("source"),
            has_checksum: value("checksum").is_some(),
        }
    });
    crates.collect()
}

const LOCKS: [&str; 2] = ["Cargo.lock", "fuzz/Cargo.lock"];
const OURS: [&str; 3] = ["tasktally", "tasktally-fuzz", "tasktally-instructions"];

#[test]
fn every_crate_comes_from_the_registry_under_a_checksum() {
    for lock in LOCKS {
        let crates = locked(lock);
        assert!(crates.len() > 100, "{lock} was read wrongly: {} crates", crates.len());
        for found in crates {
            let from_registry = found.source.as_deref().is_some_and(|source| source.starts_with("registry+"));
            let is_ours = found.source.is_none() && OURS.contains(&found.name.as_str());
            assert!(is_ours || (from_registry && found.has_checksum), "{lock}: {found:?}");
        }
    }
}

/// What is fuzzed is what is shipped.
#[test]
fn fuzzing_builds_the_versions_that_ship() {
    let mut shipped: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for found in locked("Cargo.lock") {
        shipped.entry(found.name).or_default().insert(found.version);
    }
    for found in locked("fuzz/Cargo.lock") {
        let Some(versions) = shipped.get(&found.name) else {
            let fuzzing = ["arbitrary", "libfuzzer-sys", "tasktally-fuzz"];
            assert!(fuzzing.contains(&found.name.as_str()), "{found:?}: scripts/fuzz.sh --lock");
            continue;
        };
        assert!(versions.contains(&found.version), "{found:?}, shipped {versions:?}: scripts/fuzz.sh --lock");
    }
    // The other way round: a dependency of the crate is one of the fuzzed crate.
    let fuzzed: BTreeSet<String> = locked("fuzz/Cargo.lock").into_iter().map(|found| found.name).collect();
    let manifest = read("Cargo.toml");
    let dependencies = manifest.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap();
    for line in dependencies.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
        let name = line.split(' ').next().unwrap();
        assert!(fuzzed.contains(name), "fuzz/Cargo.lock has no {name}: scripts/fuzz.sh --lock");
    }
}

/// A crate of which the database had advisories on the day of the snapshot has them in the snapshot.
#[test]
fn the_snapshot_of_advisories_covers_every_crate() {
    let names = read("supply-chain/advisories/names");
    let names: BTreeSet<&str> = names.lines().collect();
    assert!(names.len() > 500 && names.contains("tokio"), "the list of names was cut");
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("supply-chain/advisories/crates");
    let missing: BTreeSet<String> = LOCKS
        .iter()
        .flat_map(|lock| locked(lock))
        .map(|found| found.name)
        .filter(|name| names.contains(name.as_str()) && !folders.join(name).is_dir())
        .collect();
    assert!(missing.is_empty(), "no advisories of {missing:?} in supply-chain/: scripts/advisories.sh renew CLONE");
}

#[test]
fn no_code_of_ours_may_be_unsafe() {
    let manifest = read("Cargo.toml");
    let lints = manifest.split("\n[").find(|section| section.starts_with("lints.rust]")).unwrap();
    // For every target of the package: the library, the binary, the tests, the benches.
    assert!(lints.contains("unsafe_code = \"forbid\""), "{lints}");
}
