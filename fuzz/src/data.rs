//! Inputs as numbers and pieces, total: an input that ends early gives zeros and empty pieces. And a place for files.

use std::path::Path;

use tasktally::event::Millis;

/// When all of it happens: late in 2026, so that events in the corpus lie in its past and within the retention.
pub const NOW: Millis = Millis(1_790_000_000_000);

pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn byte(&mut self) -> u8 {
        self.piece(1).first().copied().unwrap_or(0)
    }

    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub fn number(&mut self) -> i64 {
        i64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// At most so many bytes.
    pub fn piece(&mut self, bytes: usize) -> &'a [u8] {
        let (piece, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        piece
    }

    /// A piece whose length stands before it.
    pub fn prefixed(&mut self) -> &'a [u8] {
        let bytes = self.short();
        self.piece(usize::from(bytes))
    }
}

/// A directory in memory where there is one, gone when dropped.
pub fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory of our own")
}
