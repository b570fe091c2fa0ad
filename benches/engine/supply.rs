//! Events to measure with: made by the simulator once, kept as journal rows in a file, and read from either end, so that
//! neither their making nor their waiting shows in the memory or the time of what is measured.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasktally::api::decode;
use tasktally::api::proto::v1::IngestEventsRequest;
use tasktally::event::{DAY_MS, Event, HOUR_MS, Millis};
use tasktally::pipeline::row;
use tasktally::simulate::{Centre, Settings};

/// The moment at which everything is measured: all events are younger than the retention, and none is ahead.
pub const NOW: i64 = 1_800_014_461_337;
const START: i64 = NOW - 30 * DAY_MS + 3 * HOUR_MS;
const SPAN_MS: i64 = 28 * DAY_MS;
pub const BATCH: usize = 1_000;
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// Journal rows of [`BATCH`] events one after another, the length of each before and behind it.
pub struct Recording {
    pub file: PathBuf,
    pub events: usize,
}

impl Recording {
    pub fn of_one(file: &Path, count: usize) -> Recording {
        Recording::make(file, centre(1, 1, count), count)
    }

    pub fn in_thrice(file: &Path, count: usize) -> Recording {
        Recording::of_one(file, 3 * count)
    }

    pub fn of_a_tenth(file: &Path, count: usize) -> Recording {
        Recording::of_one(file, count / 10)
    }

    pub fn of_64(file: &Path, count: usize) -> Recording {
        Recording::make(file, centre(1, 64, count / 10), count / 10)
    }

    /// A hundred workspaces of 20,000 at the full size, so that what a process holds anyway does not show.
    pub fn of_small_ones(file: &Path, count: usize) -> Recording {
        Recording::make(file, centre(1, 100, count / 5), count / 5)
    }

    /// A thousand workspaces: some have hundreds of times the events that others have.
    pub fn of_mixed(file: &Path, count: usize) -> Recording {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let normal = |rng: &mut ChaCha8Rng| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let weights: Vec<f64> = (0..1_000).map(|_| (1.3 * normal(&mut rng)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let sizes = weights.iter().map(|weight| (count as f64 / 2.0 * weight / sum) as usize + 50);
        let sizes: Vec<usize> = sizes.collect();
        let events = (0..).zip(&sizes).flat_map(|(seed, size)| centre(seed, 1, *size).take(*size));
        Recording::make(file, events, sizes.iter().sum())
    }

    /// Ten thousand workspaces that have just been opened: five workers, their activities and channels, nothing else.
    pub fn of_opened(file: &Path, _count: usize) -> Recording {
        const OPENED: usize = 10_000;
        let settings = Settings { start_ms: START, workspaces: OPENED, workers: 5, tasks_per_second: 1e-6 };
        let centre = Centre::of_account(1, settings, Some(ACCOUNT.into()));
        let opening = centre.take_while(|event| event.timestamp.is_some_and(|at| at.seconds * 1000 <= START));
        let events: Vec<_> = opening.collect();
        let count = events.len();
        Recording::make(file, events.into_iter(), count)
    }

    /// For cases that make their own.
    pub fn of_nothing(file: &Path, count: usize) -> Recording {
        Recording { file: file.into(), events: count }
    }

    fn make(
        file: &Path,
        mut events: impl Iterator<Item = tasktally::api::proto::v1::Event>,
        count: usize,
    ) -> Recording {
        let mut out = BufWriter::new(File::create(file).expect("create a recording"));
        let mut left = count;
        while left > 0 {
            let some: Vec<_> = events.by_ref().take(left.min(BATCH)).collect();
            assert!(!some.is_empty(), "fewer events than {count}");
            left -= some.len();
            let request = Bytes::from(IngestEventsRequest { events: some }.encode_to_vec());
            let batch = decode::batch(&request, BATCH).expect("events of the simulator");
            let events: Vec<Event> = batch.events.into_iter().map(|(_, event)| event).collect();
            let row = row::encode(&events, Millis(NOW));
            let length = (row.len() as u32).to_le_bytes();
            for part in [&length[..], &row, &length] {
                out.write_all(part).expect("write a recording");
            }
        }
        out.flush().expect("write a recording");
        Recording { file: file.into(), events: count }
    }

    /// In the order of their time.
    pub fn forward(&self) -> impl Iterator<Item = Vec<Event>> + use<> {
        let mut file = BufReader::new(File::open(&self.file).expect("open a recording"));
        let mut buffer = Vec::new();
        std::iter::from_fn(move || {
            let mut length = [0; 4];
            file.read_exact(&mut length).ok()?;
            Some(read(&mut file, u32::from_le_bytes(length), 4, &mut buffer))
        })
    }

    /// The other way round.
    pub fn backward(&self) -> impl Iterator<Item = Vec<Event>> + use<> {
        let mut file = File::open(&self.file).expect("open a recording");
        let mut end = file.metadata().expect("its size").len();
        let mut buffer = Vec::new();
        std::iter::from_fn(move || {
            let mut length = [0; 4];
            file.seek(SeekFrom::Start(end.checked_sub(4)?)).expect("seek");
            file.read_exact(&mut length).expect("a length");
            let length = u32::from_le_bytes(length);
            end -= u64::from(length) + 8;
            file.seek(SeekFrom::Start(end + 4)).expect("seek");
            let mut events = read(&mut file, length, 0, &mut buffer);
            events.reverse();
            Some(events)
        })
    }
}

/// A centre that makes about `count` events in four weeks.
fn centre(seed: u64, workspaces: usize, count: usize) -> Centre {
    let tasks_per_second = count as f64 * 1000.0 / SPAN_MS as f64 / 11.0;
    let workers = ((tasks_per_second * 500.0 / workspaces as f64).ceil() as usize).max(5);
    let settings = Settings { start_ms: START, workspaces, workers, tasks_per_second };
    Centre::of_account(seed, settings, Some(ACCOUNT.into()))
}

fn read(file: &mut impl Read, length: u32, behind: usize, buffer: &mut Vec<u8>) -> Vec<Event> {
    buffer.resize(length as usize + behind, 0);
    file.read_exact(buffer).expect("a row");
    let mut events = Vec::with_capacity(BATCH);
    let read = row::decode(&buffer[..length as usize], |entry, _| match entry {
        row::Entry::Event(event) => events.push(event),
        row::Entry::Forget(_) => unreachable!("a recording forgets nothing"),
    });
    read.expect("a row that was just written");
    events
}

/// Batches of the same size out of a stream of events.
pub fn batches(events: impl Iterator<Item = Event>) -> impl Iterator<Item = Vec<Event>> {
    let mut events = events.peekable();
    std::iter::from_fn(move || {
        events.peek()?;
        Some(events.by_ref().take(BATCH).collect())
    })
}
