//! The engine and the pipeline in process, without a transport: `cargo bench --bench engine [-- CASE…] [EVENTS]`.
//!
//! What the order of events costs, the worst batch, what a checkpoint holds up, how cost grows with what is retained,
//! what a second partition brings, and resident memory. Each case runs in a process of its own, under the allocator of
//! the shipped binary, so that no case finds the memory of another. Times are a thread's CPU, never the clock's. Nothing
//! here can fail because of time.

#[path = "engine/cpu.rs"]
mod cpu;
#[path = "engine/memory.rs"]
mod memory;
#[path = "engine/orders.rs"]
mod orders;
#[path = "engine/partitions.rs"]
mod partitions;
#[path = "engine/supply.rs"]
mod supply;
// Some of it only benches/instructions wants.
#[path = "engine/work.rs"]
#[allow(dead_code)]
mod work;

use std::path::Path;
use std::process::Command;

use supply::Recording;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: usize = 10_000_000;
/// The argument that makes this program run one case on a recording.
const RUN: &str = "run";

type Record = fn(&Path, usize) -> Recording;

/// What can be measured: a name for the command line, how the events come about, and what is done with them.
struct Case {
    name: &'static str,
    record: Record,
    run: fn(&Recording),
}

const CASES: [Case; 12] = [
    Case { name: "orders", record: Recording::of_one, run: orders::orders },
    Case { name: "worst", record: Recording::of_one, run: orders::worst_batch },
    Case { name: "checkpoint", record: Recording::of_one, run: orders::checkpoint_stall },
    Case { name: "scaling", record: Recording::in_thrice, run: orders::scaling },
    Case { name: "partitions", record: Recording::of_64, run: partitions::one_against_two },
    Case { name: "memory-20k", record: Recording::of_small_ones, run: memory::of_small_workspaces },
    Case { name: "memory-1m", record: Recording::of_a_tenth, run: memory::of_one_workspace },
    Case { name: "memory-10m", record: Recording::of_one, run: memory::of_one_workspace },
    Case { name: "memory-mixed", record: Recording::of_mixed, run: memory::of_mixed_workspaces },
    Case { name: "active", record: Recording::of_nothing, run: memory::of_active_tasks },
    Case { name: "named", record: Recording::of_nothing, run: memory::of_named_workspaces },
    Case { name: "idle", record: Recording::of_opened, run: memory::of_idle_workspaces },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [run, name, file, count] = &arguments[..]
        && run == RUN
    {
        let case = CASES.iter().find(|case| case.name == name).expect("the name of a case");
        let events = count.parse().expect("a number of events");
        return (case.run)(&Recording { file: file.into(), events });
    }
    let count = arguments.iter().find_map(|argument| argument.replace('_', "").parse().ok()).unwrap_or(EVENTS);
    let wanted = |case: &&Case| {
        let names = CASES.iter().filter(|case| arguments.iter().any(|argument| argument == case.name)).count();
        names == 0 || arguments.iter().any(|argument| argument == case.name)
    };
    println!("| {:<78} | {:>12} |", "what", "figure");
    println!("|{:-<80}|{:-<13}:|", "", "");
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut made: Vec<(Record, Recording)> = Vec::new();
    for case in CASES.iter().filter(wanted) {
        if !made.iter().any(|(record, _)| std::ptr::fn_addr_eq(*record, case.record)) {
            let file = home.path().join(case.name);
            made.push((case.record, (case.record)(&file, count)));
        }
        let (_, recording) = made.iter().find(|(record, _)| std::ptr::fn_addr_eq(*record, case.record)).expect("made");
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.args([RUN, case.name]).arg(&recording.file).arg(recording.events.to_string());
        let status = command.status().expect("start a case");
        assert!(status.success(), "{} ended with {status}", case.name);
    }
}

/// One row of the table.
fn row(what: &str, figure: &str) {
    println!("| {what:<78} | {figure:>12} |");
}
