//! A checkpoint on its way to the disk. A large section goes there in parts, so that nobody ever holds it whole.

use std::{
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::Path,
};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{BUFFER_BYTES, MAGIC, TRAILER, header_sum};
use crate::journal::tile::sum;

/// A checkpoint that is being written.
#[derive(Debug)]
pub struct Draft {
    file: BufWriter<File>,
    sections: u64,
    chain: u64,
}

impl Draft {
    pub(in crate::journal) fn begin(path: &Path, position: u64) -> io::Result<Draft> {
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
        let chain = header_sum(position);
        file.write_all(&MAGIC)?;
        file.write_all(&position.to_le_bytes())?;
        file.write_all(&chain.to_le_bytes())?;
        Ok(Draft { file, sections: 0, chain })
    }

    /// Appends a section.
    pub fn section(&mut self, body: &[u8]) -> io::Result<()> {
        self.head(body.len() as u64, xxh3_64(body))?;
        self.file.write_all(body)
    }

    /// Appends a section that `fill` writes, of which only a part is in memory at a time: `fill` calls its second
    /// argument with the first whenever it likes, and finds it empty afterwards if that was enough for a part.
    pub fn section_in_parts(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>, &mut dyn FnMut(&mut Vec<u8>)),
    ) -> io::Result<()> {
        let mut parts = Parts { draft: self, start: None, length: 0, hash: Xxh3::new(), written: Ok(()) };
        let mut buffer = Vec::new();
        fill(&mut buffer, &mut |buffer| {
            if buffer.len() >= BUFFER_BYTES {
                parts.take(buffer);
            }
        });
        parts.finish(buffer)
    }

    /// The length and the checksum that stand before a section.
    fn head(&mut self, length: u64, body_sum: u64) -> io::Result<()> {
        let stored = sum(b"section", &[self.sections, length, body_sum]);
        self.sections += 1;
        self.chain = sum(b"chain", &[self.chain, stored]);
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&stored.to_le_bytes())
    }

    /// Writes the trailer and waits until all of it is durable.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.write_all(&TRAILER.to_le_bytes())?;
        self.file.write_all(&self.sections.to_le_bytes())?;
        self.file.write_all(&sum(b"trailer", &[self.sections, self.chain]).to_le_bytes())?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// A section of which parts are in the file already.
struct Parts<'a> {
    draft: &'a mut Draft,
    /// Where in the file its head will stand; `None` as long as nothing of it was written.
    start: Option<u64>,
    length: u64,
    hash: Xxh3,
    /// Nothing is written after a failure; what comes then is dropped.
    written: io::Result<()>,
}

impl Parts<'_> {
    fn take(&mut self, buffer: &mut Vec<u8>) {
        if self.written.is_ok() {
            self.written = self.append(buffer);
        }
        buffer.clear();
    }

    fn append(&mut self, part: &[u8]) -> io::Result<()> {
        if self.start.is_none() {
            self.start = Some(self.draft.file.stream_position()?);
            self.draft.file.write_all(&[0; 16])?;
        }
        self.hash.update(part);
        self.length += part.len() as u64;
        self.draft.file.write_all(part)
    }

    fn finish(mut self, rest: Vec<u8>) -> io::Result<()> {
        std::mem::replace(&mut self.written, Ok(()))?;
        let Some(start) = self.start else { return self.draft.section(&rest) };
        self.append(&rest)?;
        self.draft.file.seek(SeekFrom::Start(start))?;
        self.draft.head(self.length, self.hash.digest())?;
        self.draft.file.seek(SeekFrom::End(0))?;
        Ok(())
    }
}
