//! What a second partition brings, in process and without a transport.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

use tasktally::event::Event;
use tasktally::pipeline::{Caller, Patience, Pipeline, start_ephemeral};

use super::row;
use super::supply::Recording;
use super::work::{HandClock, settings};

/// Calls on their way at a time: enough that no partition waits for the submitter.
const IN_FLIGHT: usize = 32;

/// CPU of the threads of this process by their name, in seconds.
fn threads_cpu() -> BTreeMap<String, f64> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of_task = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Some((name.to_owned(), ticks as f64 / 100.0))
    };
    tasks.filter_map(of_task).collect()
}

struct Taken {
    /// CPU seconds of the busiest partition, and of all of them.
    busiest: f64,
    all: f64,
    clock: f64,
}

fn taken(batches: Vec<Vec<Event>>, partitions: usize) -> Taken {
    let running = start_ephemeral(settings(partitions), HandClock::new(), Pipeline::default()).expect("threads");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let begun = Instant::now();
    let events: usize = batches.iter().map(Vec::len).sum();
    let accepted = runtime.block_on(async {
        let places = Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT));
        let mut calls = tokio::task::JoinSet::new();
        for batch in batches {
            let place = places.clone().acquire_owned().await.expect("never closed");
            let pipeline = running.pipeline.clone();
            calls.spawn(async move {
                let call = pipeline.submit(&Caller::everything(), (0..).zip(batch).collect(), Patience::Wait).await;
                let ingested = call.expect("there is room").settled().await.expect("it is settled");
                drop(place);
                ingested.accepted
            });
        }
        calls.join_all().await.into_iter().sum::<u64>()
    });
    assert_eq!(accepted, events as u64, "events accepted, against those there are");
    let clock = begun.elapsed().as_secs_f64();
    let cpu: Vec<f64> =
        threads_cpu().into_iter().filter(|(name, _)| name.starts_with("partition-")).map(|(_, cpu)| cpu).collect();
    running.stop();
    Taken { busiest: cpu.iter().copied().fold(0.0, f64::max), all: cpu.iter().sum(), clock }
}

pub fn one_against_two(recording: &Recording) {
    let [one, two] = [1, 2].map(|partitions| taken(recording.forward().collect(), partitions));
    let a_second = |taken: &Taken| format!("{:.0} /s", recording.events as f64 / taken.clock);
    let ns = |seconds: f64| format!("{:.0} ns", seconds * 1e9 / recording.events as f64);
    let events = recording.events;
    row(&format!("{events} events of 64 workspaces: CPU an event of the one partition"), &ns(one.all));
    row("  of two partitions together", &ns(two.all));
    row("  of the busier of the two, which is what bounds the rate", &ns(two.busiest));
    row("  a second partition brings, by the busier one's CPU", &format!("{:.2} ×", one.all / two.busiest));
    row("  events a second by the clock, one partition", &a_second(&one));
    row("  events a second by the clock, two partitions", &a_second(&two));
}
