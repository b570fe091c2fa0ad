//! All targets in one binary: under the sanitizer it is the linking that takes the time. Which one it fuzzes, the
//! environment says.
#![no_main]

use std::sync::LazyLock;

use tasktally_fuzz::{TARGETS, Target};

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("TASKTALLY_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.into_iter().find(|(target, _)| *target == name);
    let names = || TARGETS.map(|(target, _)| target).join(", ");
    found.unwrap_or_else(|| panic!("TASKTALLY_FUZZ_TARGET is {name:?}, and not one of {}", names())).1
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| CHOSEN(input));
