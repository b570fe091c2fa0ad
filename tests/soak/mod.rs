//! The parts of the soak; `tests/e2e_soak.rs` says what it is.

pub mod compare;
pub mod forget;
pub mod look;
pub mod measure;
pub mod produce;
pub mod report;
pub mod run;
pub mod source;
pub mod world;
