//! CPU and wall time of the journal beside a plain file with the same bytes, both synced: `cargo bench --bench
//! journal -- [DIRECTORY]` (default: the system's temporary directory; it should be on a real disk).
//!
//! Prints figures and asserts nothing about time.

use std::{
    fs::{self, File},
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tasktally::journal::{Compression, Journal, Row};

const EVENT_BYTES: usize = 65;

/// CPU time of this process so far, user and system, in steps of 10 ms: from /proc, so zero elsewhere.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
    Duration::from_millis(10 * fields.get(11..13).map_or(0, |ticks| ticks.iter().sum()))
}

struct Measured {
    wall: Duration,
    cpu: Duration,
}

fn measure(work: impl FnOnce()) -> Measured {
    let (wall, before) = (Instant::now(), cpu());
    work();
    Measured { wall: wall.elapsed(), cpu: cpu() - before }
}

/// Bytes that compress about as well as encoded events do: ids are random, the rest repeats.
fn body(group: usize, events: usize) -> Vec<u8> {
    let mut state = group as u64 + 1;
    let mut body = Vec::with_capacity(events * EVENT_BYTES);
    for event in 0..events {
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            body.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
        }
        body.extend_from_slice(&(event as u64).to_le_bytes());
        body.resize((event + 1) * EVENT_BYTES, 7);
    }
    body
}

fn plain_file(dir: &Path, bodies: &[Vec<u8>]) {
    let mut file = File::create(dir.join("plain")).expect("create");
    for body in bodies {
        file.write_all(body).expect("write");
        file.sync_data().expect("sync");
    }
}

fn groups(dir: &Path, groups: usize, events: usize) {
    let bodies: Vec<Vec<u8>> = (0..64).map(|group| body(group, events)).collect();
    let all: Vec<Vec<u8>> = (0..groups).map(|group| bodies[group % 64].clone()).collect();
    let home = dir.join(format!("groups-{events}"));
    let (mut journal, _) = Journal::open(&home, "a measurement").expect("open");
    let mut slowest = Duration::ZERO;
    let ours = measure(|| {
        for (group, body) in all.iter().enumerate() {
            let begun = Instant::now();
            journal
                .append(&[Row { events: events as u32, newest_ms: group as i64, body, ends: None }])
                .expect("append");
            journal.tidy().expect("tidy");
            slowest = slowest.max(begun.elapsed());
        }
    });
    let plain = measure(|| plain_file(&home, &all));
    let each = |m: &Duration| m.as_nanos() / (groups * events) as u128;
    println!(
        "{groups} groups of {events}: journal {} ns CPU, {} ns wall an event, slowest group {slowest:.1?}; \
         plain file {} ns CPU, {} ns wall; ratio of CPU {:.1}",
        each(&ours.cpu),
        each(&ours.wall),
        each(&plain.cpu),
        each(&plain.wall),
        ours.cpu.as_secs_f64() / plain.cpu.as_secs_f64(),
    );
    fs::remove_dir_all(&home).expect("remove");
}

fn growing_old(dir: &Path, rows: usize) {
    let home = dir.join("old");
    let (mut journal, _) = Journal::open(&home, "a measurement").expect("open");
    let bodies: Vec<Vec<u8>> = (0..64).map(|group| body(group, 1000)).collect();
    for chunk in 0..rows / 50 {
        let chunk: Vec<Row<'_>> = (0..50)
            .map(|i| Row { events: 1000, newest_ms: (chunk * 50 + i) as i64, body: &bodies[i % 64], ends: None })
            .collect();
        journal.append(&chunk).expect("append");
        journal.tidy().expect("tidy");
    }
    drop(journal);
    let mut opened = None;
    let opening = measure(|| opened = Some(Journal::open(&home, "a measurement").expect("open").0));
    let mut journal = opened.expect("opened above");
    println!("opening {rows} rows of 65 KB: {:.1?} wall, {:.1?} CPU", opening.wall, opening.cpu);
    let mut bytes = 0;
    let mut each = |record: tasktally::journal::Record<'_>| {
        bytes += record.body.len();
        ControlFlow::Continue(())
    };
    let reading = measure(|| journal.read(0, &mut each).expect("read"));
    println!("reading them: {:.1?} wall, {:.1?} CPU, {bytes} bytes", reading.wall, reading.cpu);
    let policy = Compression { older_than_ms: i64::MAX, tail_bytes: 0 };
    slices("compressing", || journal.compress(policy).expect("compress"), rows);
    println!("{:?}", journal.stats());
    let reading = measure(|| journal.read(0, &mut |_| ControlFlow::Continue(())).expect("read"));
    println!("reading blocks: {:.1?} wall, {:.1?} CPU", reading.wall, reading.cpu);
    slices("dropping", || journal.drop_rows(i64::MAX, u64::MAX, 4).expect("drop") > 0, rows);
    println!("{:?}", journal.stats());
    drop(journal);
    fs::remove_dir_all(&home).expect("remove");
}

fn slices(what: &str, mut slice: impl FnMut() -> bool, rows: usize) {
    let (mut count, mut slowest) = (0_u32, Duration::ZERO);
    let all = measure(|| {
        loop {
            let begun = Instant::now();
            if !slice() {
                break;
            }
            slowest = slowest.max(begun.elapsed());
            count += 1;
        }
    });
    let mean = all.wall / count.max(1);
    println!("{what} {rows} rows: {count} slices, {mean:.1?} each, slowest {slowest:.1?}, {:.1?} CPU", all.cpu);
}

fn main() {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let dir = given.map_or_else(std::env::temp_dir, PathBuf::from).join(format!("tally-bench-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("create");
    groups(&dir, 4000, 1000);
    groups(&dir, 4000, 100);
    groups(&dir, 2000, 1);
    growing_old(&dir, 10_000);
    fs::remove_dir_all(&dir).expect("remove");
}
