//! What a server hands out for a backup, as `tasktally backup` takes it in.

use std::sync::OnceLock;

use tasktally::event::DAY_MS;
use tasktally::journal::{Journal, Row};
use tasktally::upkeep::{Incoming, Listener};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::data::{Bytes, NOW, directory};
use super::journal::contents;

/// What a sound stream is made of: each frame's kind and content.
type Frames = Vec<(u8, Vec<u8>)>;

/// A frame's header: its kind, its length, its checksum.
const HEADER_BYTES: usize = 17;

/// A frame as the server writes it.
pub fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let numbers = [u64::from(kind), content.len() as u64, xxh3_64(content)];
    let sum = numbers.iter().fold(xxh3_64(b"copy"), |seed, number| xxh3_64_with_seed(&number.to_le_bytes(), seed));
    [&[kind][..], &(content.len() as u64).to_le_bytes(), &sum.to_le_bytes(), content].concat()
}

/// The stream of a journal with a gap, a carry-over and rows of events, each frame on its own.
fn sound() -> &'static (Vec<u8>, Frames) {
    static SOUND: OnceLock<(Vec<u8>, Frames)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let dir = directory();
        let (mut journal, _) = Journal::open(dir.path(), "fuzz").expect("a new journal");
        let forget = tasktally::pipeline::row::encode_forget(tasktally::event::WorkspaceSid::from_bytes([7; 16]), NOW);
        let mut append = |newest_ms: i64| {
            let row = Row { events: 1, newest_ms, body: &forget, ends: None };
            journal.append(&[row]).expect("an append");
        };
        append(NOW.0 - 40 * DAY_MS);
        (0..3).for_each(|_| append(NOW.0));
        journal.drop_rows(NOW.0 - 30 * DAY_MS, 8, 100).expect("dropping");
        let mut copy = journal.begin_copy();
        let mut stream = Vec::new();
        while let Some(piece) = journal.copy_piece(&mut copy, 1000).expect("a sound journal") {
            stream.extend(piece);
        }
        let (mut frames, mut rest) = (Frames::new(), &stream[..]);
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let length = u64::from_le_bytes(header[1..9].try_into().expect("eight bytes")) as usize;
            frames.push((header[0], after[..length].to_vec()));
            assert_eq!(
                rest[..HEADER_BYTES + length],
                frame(header[0], &after[..length]),
                "frames are as they are here"
            );
            rest = &after[length..];
        }
        (stream, frames)
    })
}

struct Silent;

impl Listener for Silent {
    fn progress(&mut self, position: u64, of: u64) {
        assert!(position <= of, "{position} of {of}");
    }

    fn finding(&mut self, words: String) {
        assert!(!words.is_empty());
    }
}

/// Any bytes, frames of any content with good checksums, or a sound stream with frames changed, left out or doubled:
/// refused with a reason, and then nothing is left; or a data directory that a server starts on.
pub fn backup(input: &[u8]) {
    let mut bytes = Bytes(input);
    let (mode, cut) = (bytes.byte() % 3, usize::from(bytes.byte()) + 1);
    let (original, frames) = sound();
    let mut stream = Vec::new();
    match mode {
        0 => stream.extend(bytes.0),
        1 => {
            while !bytes.0.is_empty() {
                let kind = bytes.byte();
                stream.extend(frame(kind, bytes.prefixed()));
            }
        }
        _ => {
            for (kind, content) in frames {
                let mut content = content.clone();
                let copies = match bytes.byte() {
                    1 => 0,
                    2 => 2,
                    3 if !content.is_empty() => {
                        let at = usize::from(bytes.byte()) % content.len();
                        let patch = bytes.byte() % 9;
                        let patch = bytes.piece(usize::from(patch));
                        let end = (at + patch.len()).min(content.len());
                        content[at..end].copy_from_slice(&patch[..end - at]);
                        1
                    }
                    _ => 1,
                };
                (0..copies).for_each(|_| stream.extend(frame(*kind, &content)));
            }
        }
    }
    let (dir, is_sound) = (directory(), stream == *original);
    let dest = dir.path().join("backup");
    let mut incoming = Incoming::create(&dest).expect("a place in memory");
    let taken = stream.chunks(cut * 16).try_for_each(|piece| incoming.take(piece));
    let made = taken.and_then(|()| incoming.finish(NOW, 30 * DAY_MS, &mut Silent));
    match made {
        Err(error) => {
            assert!(!is_sound && !error.to_string().is_empty(), "{error}");
            let left = std::fs::read_dir(dir.path()).expect("a directory of our own").count();
            assert_eq!(left, 0, "of what is refused nothing is left: {error}");
        }
        Ok(backed_up) => {
            let (mut journal, _) = Journal::open(&dest, "fuzz").expect("a backup that was verified");
            assert_eq!(journal.end(), backed_up.position);
            let (rows, _) = contents(&mut journal).expect("a backup that was verified");
            assert!(rows.len() as u64 >= backed_up.rows, "a block holds several");
        }
    }
}
