//! A section as it was read. A large one lies in memory of its own, which goes back to the system at once: allocators
//! keep blocks of that size, so that every restart would cost the service as much for good.

use std::{io, ops::Deref};

use memmap2::MmapMut;

/// From so many bytes on.
const LARGE_BYTES: usize = 1 << 20;

/// The bytes of a section.
#[derive(Debug)]
pub struct Section(Bytes);

#[derive(Debug)]
enum Bytes {
    Small(Vec<u8>),
    Large(MmapMut),
}

impl Section {
    pub(super) fn zeroed(length: usize) -> io::Result<Section> {
        let bytes =
            if length < LARGE_BYTES { Bytes::Small(vec![0; length]) } else { Bytes::Large(MmapMut::map_anon(length)?) };
        Ok(Section(bytes))
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Bytes::Small(bytes) => bytes,
            Bytes::Large(bytes) => bytes,
        }
    }
}

impl Deref for Section {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Small(bytes) => bytes,
            Bytes::Large(bytes) => bytes,
        }
    }
}
