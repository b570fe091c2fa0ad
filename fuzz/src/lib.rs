//! What the fuzz targets do with an input: each is a function of bytes that panics where a promise is broken.
//!
//! `fuzz_targets/any.rs` hands them to libFuzzer; `tests/fuzz.rs` runs them over the whole corpus in every `cargo test`, so
//! that a finding, once its input is in `corpus/`, stays a test.

pub mod access;
pub mod backup;
pub mod batch;
pub mod client;
pub mod data;
pub mod engine;
pub mod journal;
pub mod question;
pub mod taskrouter;
pub mod token;
pub mod words;

pub type Target = fn(&[u8]);

/// Every target, by the name that `TASKTALLY_FUZZ_TARGET` chooses it by, which is that of its folder in `corpus/`.
pub const TARGETS: [(&str, Target); 23] = [
    ("backup", backup::backup),
    ("batch", batch::batch),
    ("block", journal::block),
    ("carry", engine::carry),
    ("checkpoint", journal::checkpoint),
    ("credentials", access::credentials),
    ("duplicates", engine::duplicates),
    ("forms", taskrouter::forms),
    ("history", engine::history),
    ("journal", journal::journal),
    ("json", client::json),
    ("jwks", token::jwks),
    ("jwt", token::jwt),
    ("question", question::question),
    ("recovery", journal::recovery),
    ("row", journal::row),
    ("settings", words::settings),
    ("shown", access::shown),
    ("signature", taskrouter::signature),
    ("sid", words::sid),
    ("time", words::time),
    ("wire", batch::wire),
    ("workspace", engine::workspace),
];
