//! What SQLite says nothing about. On opening it takes its write-ahead log up to the last commit whose chain of
//! checksums holds, and drops the rest without a word. This file looks first: frames of the same generation (the
//! same salts as the header) that SQLite then did not accept were written, and are lost.
//!
//! The format is fixed (sqlite.org/fileformat2.html, section 4): a header of 32 bytes, then frames of 24 bytes and
//! a page each, all numbers big-endian. Frames of an earlier generation, behind those of this one, are normal.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// The newest bytes of the log that SQLite discarded when it opened: a write that was under way when the process or
/// the machine died (normal), or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the write-ahead log that were written and are discarded.
    pub bytes: u64,
    /// Pages that it still had before the cut.
    pub accepted_pages: u64,
    /// Whole transactions among what was discarded, as far as their marks can still be read. 0: a write that was
    /// under way. 1: perhaps that too, if the machine lost power. More: the file was damaged, and acknowledged
    /// groups are gone.
    pub commits: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, accepted_pages, commits } = self;
        write!(f, "{bytes} bytes of the write-ahead log were discarded after {accepted_pages} good pages: ")?;
        match commits {
            0 => f.write_str("no whole write, as after a kill or a power cut in the middle of one"),
            1 => f.write_str("one whole write, damaged, or caught by a power cut before it was acknowledged"),
            more => write!(f, "{more} whole writes, so the file was damaged"),
        }
    }
}

/// One frame of the newest generation.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Its place in the file, from 1.
    slot: u64,
    bytes: u64,
    commit: bool,
}

/// What the file held before SQLite opened it.
#[derive(Debug, Default)]
pub(super) struct Scan {
    frame_bytes: u64,
    newest: Vec<Frame>,
}

impl Scan {
    /// Reads the frames' headers. An absent or empty file has none. `page_bytes` is what the main file says, for
    /// when this one's header is damaged.
    pub(super) fn of(path: &Path, page_bytes: u64) -> io::Result<Self> {
        match File::open(path) {
            Ok(file) => Self::read(&mut BufReader::with_capacity(1 << 16, file), page_bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn read(file: &mut impl Read, mut page_bytes: u64) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        if fill(file, &mut header)? < HEADER_BYTES {
            return Ok(Self::default());
        }
        let mut salts = (word(&header, 16), word(&header, 20));
        let sums = checksum((0, 0), &header[..24], word(&header, 0) & 1 == 1);
        let holds = sums == (word(&header, 24), word(&header, 28));
        if holds {
            page_bytes = u64::from(word(&header, 8));
        }
        let mut newest = Vec::new();
        for slot in 1.. {
            let mut frame = [0; FRAME_HEADER_BYTES];
            let head = fill(file, &mut frame)?;
            if head == 0 {
                break;
            }
            let page = if head == FRAME_HEADER_BYTES { skip(file, page_bytes)? } else { 0 };
            let of_frame = (word(&frame, 8), word(&frame, 12));
            if slot == 1 && !holds {
                // The header is no witness any more; the first frame is of the newest generation in any case.
                salts = of_frame;
            }
            let whole = page == page_bytes;
            // Both words change with each generation, so one that agrees is enough: the other is damaged.
            let is_newest = of_frame.0 == salts.0 || of_frame.1 == salts.1;
            if is_newest || head < FRAME_HEADER_BYTES {
                newest.push(Frame { slot, bytes: head as u64 + page, commit: whole && word(&frame, 4) != 0 });
            }
            if !whole {
                break;
            }
        }
        Ok(Self { frame_bytes: FRAME_HEADER_BYTES as u64 + page_bytes, newest })
    }

    /// What is lost, given how many frames SQLite accepted.
    pub(super) fn cut(&self, accepted_pages: u64) -> Option<Cut> {
        let last = self.newest.last().filter(|frame| frame.slot > accepted_pages)?;
        let commits = self.newest.iter().filter(|frame| frame.slot > accepted_pages && frame.commit).count() as u64;
        let bytes = (last.slot - accepted_pages - 1) * self.frame_bytes + last.bytes;
        Some(Cut { bytes, accepted_pages, commits })
    }
}

/// The header's checksum, SQLite's own: two sums over pairs of words, whose byte order the magic number states.
fn checksum((mut a, mut b): (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let order = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    for pair in bytes.chunks_exact(8) {
        a = a.wrapping_add(order([pair[0], pair[1], pair[2], pair[3]])).wrapping_add(b);
        b = b.wrapping_add(order([pair[4], pair[5], pair[6], pair[7]])).wrapping_add(a);
    }
    (a, b)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Reads as much as is there; answers how much.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn skip(file: &mut impl Read, bytes: u64) -> io::Result<u64> {
    io::copy(&mut file.take(bytes), &mut io::sink())
}
