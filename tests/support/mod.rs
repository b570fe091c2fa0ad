//! What the integration tests share: events in short form, the naive model, and a bench that holds the engine, a
//! pipeline and the model against each other, and a made-up history on disk.

// Each test binary uses a part of it.
#![allow(dead_code)]

pub mod bench;
pub mod build;
pub mod model;
pub mod random;
pub mod scribe;
