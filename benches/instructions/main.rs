//! Instructions of the hot paths, one path a process, for Valgrind to count: `benches/instructions/compare.py`.
//!
//! `instructions prepare DIR` makes the events and the state that all paths begin with. `instructions PATH DIR [COUNT]`
//! then does COUNT operations of one path, in process and on one thread, and says of how many units they were.
//! `instructions list` tells the paths. Only what [`measured`] is given is counted: Callgrind is told to begin and to end
//! with a function, by its name.

mod asking;
mod keeping;
mod stock;
mod taking;
mod watching;

// As `benches/engine.rs` has them, some of which only that one wants.
#[path = "../engine/supply.rs"]
#[allow(dead_code)]
mod supply;
#[path = "../engine/work.rs"]
#[allow(dead_code)]
mod work;

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use stock::Stock;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One hot path: what its instructions are counted by, how many operations tell enough, and what does them. Answers how
/// many units they were.
struct HotPath {
    name: &'static str,
    unit: &'static str,
    count: usize,
    run: fn(&Stock, usize) -> u64,
}

const PATHS: [HotPath; 20] = [
    HotPath { name: "decode", unit: "event", count: 10, run: taking::decode },
    HotPath { name: "engine", unit: "event", count: 10, run: taking::engine },
    HotPath { name: "ingest", unit: "event", count: 10, run: taking::ingest },
    HotPath { name: "ingest-one", unit: "event", count: 1_000, run: taking::ingest_one },
    HotPath { name: "repeats", unit: "event", count: 10, run: taking::repeats },
    HotPath { name: "row-encode", unit: "event", count: 10, run: keeping::row_encode },
    HotPath { name: "row-decode", unit: "event", count: 10, run: keeping::row_decode },
    HotPath { name: "append", unit: "event", count: 10, run: keeping::append },
    HotPath { name: "append-one", unit: "commit", count: 200, run: keeping::append_one },
    HotPath { name: "replay", unit: "event", count: 10, run: keeping::replay },
    HotPath { name: "checkpoint-encode", unit: "event", count: 2, run: keeping::checkpoint_encode },
    HotPath { name: "checkpoint-decode", unit: "event", count: 2, run: keeping::checkpoint_decode },
    HotPath { name: "realtime-engine", unit: "answer", count: 500, run: asking::realtime_engine },
    HotPath { name: "realtime", unit: "answer", count: 500, run: asking::realtime },
    HotPath { name: "realtime-json", unit: "answer", count: 300, run: asking::realtime_json },
    HotPath { name: "cumulative-15min", unit: "answer", count: 500, run: asking::cumulative_15min },
    HotPath { name: "cumulative-8h", unit: "answer", count: 500, run: asking::cumulative_8h },
    HotPath { name: "cumulative-30d", unit: "answer", count: 500, run: asking::cumulative_30d },
    HotPath { name: "watch-one", unit: "update", count: 50, run: watching::one },
    HotPath { name: "watch-many", unit: "update", count: 10, run: watching::many },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list"] => PATHS.iter().for_each(|path| println!("{}", path.name)),
        ["prepare", dir] => stock::prepare(Path::new(dir)),
        [name, dir, ref count @ ..] if count.len() <= 1 => {
            let path = PATHS.iter().find(|path| path.name == name).expect("the name of a path: see `list`");
            let count = count.first().map_or(path.count, |count| count.parse().expect("a number of operations"));
            let units = (path.run)(&Stock::of(Path::new(dir)), count);
            println!("{units} {}", path.unit);
        }
        _ => {
            eprintln!("usage: instructions list | prepare DIR | PATH DIR [COUNT]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Does what is to be counted.
fn measured<T>(work: impl FnOnce() -> T) -> T {
    static HELD: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    HELD.get_or_init(room_of_each_size);
    counted(work)
}

/// What is counted. `compare.py` knows it by this name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(black_box(work)())
}

/// Memory of each size that the allocator tells apart, to be held: every other piece of some. Where a path takes the only
/// piece of a page and gives it back, again and again, the allocator would do so with the page, or would not, as the set-up
/// happened to leave it, and that can be a tenth of a path. Among what is held there is room, and no page is ever empty.
fn room_of_each_size() -> Vec<Vec<u8>> {
    const PIECES: usize = 32;
    let sizes = std::iter::successors(Some(8), |size: &usize| Some(size + (size / 8).max(8)));
    let pieces = |size| (0..PIECES).map(|_| Vec::with_capacity(size)).collect::<Vec<_>>();
    sizes.take_while(|size| *size <= 1 << 16).flat_map(|size| pieces(size).into_iter().step_by(2)).collect()
}
