//! What it costs to keep events: memory, disk, and the way back after the process has ended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::figures::{Table, median};
use super::{Pair, Service};

/// How long old rows may take to be compressed before the directory is measured.
const SETTLING: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_secs(8);
const RESTARTS: usize = 3;

/// What the service took before.
pub struct Memory {
    /// As it came up, with nothing to keep.
    pub empty_bytes: f64,
    /// With all events and all questions asked, before any watcher came: the allocator keeps what watchers give back.
    pub unwatched_bytes: f64,
}

pub async fn sizes_and_restarts(table: &Table, pair: Pair, dir: &Path, memory: Memory, events: usize) {
    let Memory { empty_bytes, unwatched_bytes } = memory;
    settle(dir).await;
    let Pair { ours, bare, .. } = pair;
    bare.kill();
    let resident = ours.resident_bytes();
    let each = |bytes: f64| format!("{:.1} B", bytes / events as f64);
    table.alone("resident memory of an empty service", &format!("{:.1} MB", empty_bytes / 1e6));
    table.alone("  a retained event over it, before any watcher", &each(unwatched_bytes - empty_bytes));
    table.alone("resident memory, all in", &format!("{:.1} MB", resident / 1e6));
    table.alone("  a retained event, over the empty service", &each(resident - empty_bytes));

    let stopping = ours.stop();
    table.alone("SIGTERM to exit, with a checkpoint", &format!("{:.2} s", stopping.as_secs_f64()));
    table.alone("data directory a retained event", &each(bytes_of(dir, |_| true)));
    table.alone("  of it the checkpoint", &each(bytes_of(dir, is_checkpoint)));

    restarts(table, "checkpoint", dir, empty_bytes, events, |_| {});
    restarts(table, "log alone", dir, empty_bytes, events, |dir| {
        for file in files(dir).filter(|file| is_checkpoint(file)) {
            fs::remove_file(file).expect("remove a checkpoint");
        }
    });
}

/// Restarts from what `prepare` leaves, killed each time so that it leaves the same.
fn restarts(table: &Table, from: &str, dir: &Path, empty_bytes: f64, events: usize, prepare: fn(&Path)) {
    let (mut took, mut cpu, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RESTARTS {
        prepare(dir);
        let service = Service::tasktally(dir);
        took.push(service.ready_after.as_secs_f64());
        cpu.push(service.cpu_us() / 1e6);
        resident.push(service.resident_bytes());
        service.kill();
    }
    table.alone(&format!("start to serving, from the {from}"), &format!("{:.2} s", median(took)));
    table.alone("  of CPU", &format!("{:.2} s", median(cpu)));
    let bytes = (median(resident) - empty_bytes) / events as f64;
    table.alone("  resident a retained event then", &format!("{bytes:.1} B"));
}

/// Waits until the directory no longer changes its size.
async fn settle(dir: &Path) {
    let mut before = 0.0;
    for _ in 0..SETTLING.as_secs() / LOOK_EVERY.as_secs() {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = bytes_of(dir, |_| true);
        if now == before {
            return;
        }
        before = now;
    }
}

fn files(dir: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(dir).expect("the data directory").map(|entry| entry.expect("an entry").path())
}

fn is_checkpoint(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("checkpoint"))
}

fn bytes_of(dir: &Path, which: impl Fn(&Path) -> bool) -> f64 {
    files(dir).filter(|file| which(file)).map(|file| fs::metadata(file).map_or(0, |file| file.len()) as f64).sum()
}
