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
    /// Ends of transactions among what was discarded. 0: only a write that was never acknowledged. More: the file
    /// was damaged, or the machine lost power during the last write; acknowledged groups may be gone.
    pub commits: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, accepted_pages, commits } = self;
        write!(f, "{bytes} bytes of the write-ahead log were discarded after {accepted_pages} good pages: ")?;
        match commits {
            0 => f.write_str("a write that was never acknowledged"),
            1 => f.write_str("one whole write, acknowledged or just about to be"),
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
    newest: Vec<Frame>,
}

impl Scan {
    /// Reads the frames' headers. An absent or empty file has none.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        match File::open(path) {
            Ok(file) => Self::read(&mut BufReader::with_capacity(1 << 16, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn read(file: &mut impl Read) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        if fill(file, &mut header)? < HEADER_BYTES {
            return Ok(Self::default());
        }
        let page_bytes = match u64::from(word(&header, 8)) {
            // A damaged header: any size will do, the whole file is discarded.
            bytes if bytes.is_power_of_two() && (512..=65_536).contains(&bytes) => bytes,
            _ => 4096,
        };
        let mut salts = (word(&header, 16), word(&header, 20));
        let header_holds =
            checksum((0, 0), &header[..24], word(&header, 0) & 1 == 1) == (word(&header, 24), word(&header, 28));
        let mut newest = Vec::new();
        for slot in 1.. {
            let mut frame = [0; FRAME_HEADER_BYTES];
            let head = fill(file, &mut frame)?;
            if head == 0 {
                break;
            }
            let page = if head == FRAME_HEADER_BYTES { skip(file, page_bytes)? } else { 0 };
            let of_frame = (word(&frame, 8), word(&frame, 12));
            if slot == 1 && !header_holds {
                // The header is no witness any more; the first frame is of the newest generation in any case.
                salts = of_frame;
            }
            let whole = page == page_bytes;
            if of_frame == salts || head < FRAME_HEADER_BYTES {
                let commit = whole && word(&frame, 4) != 0;
                newest.push(Frame { slot, bytes: head as u64 + page, commit });
            }
            if !whole {
                break;
            }
        }
        Ok(Self { newest })
    }

    /// What is lost, given how many frames SQLite accepted.
    pub(super) fn cut(&self, accepted_pages: u64) -> Option<Cut> {
        let lost = self.newest.iter().filter(|frame| frame.slot > accepted_pages);
        let (bytes, commits) = lost.fold((0, 0), |(b, c), f| (b + f.bytes, c + u64::from(f.commit)));
        (bytes > 0).then_some(Cut { bytes, accepted_pages, commits })
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
