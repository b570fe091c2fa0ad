//! A fingerprint of all that happened: equal for two runs that went alike.

use std::fmt::{self, Debug, Write};
use std::hash::{DefaultHasher, Hasher};

/// Hashes what it is told, in order.
#[derive(Default)]
pub struct Trace(DefaultHasher);

impl Trace {
    pub fn note(&mut self, what: &impl Debug) {
        write!(self, "{what:?};").expect("a hash has room");
    }

    pub fn hash(&self) -> u64 {
        self.0.finish()
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
