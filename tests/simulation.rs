//! Deterministic simulation: engine, pipeline and journal, moved step by step in an order that one seed decides,
//! through calls, questions, watches, clocks that are set back and forward, refused and lost writes, checkpoints,
//! dropped rows, kills and stops; against the naive model of `support/model.rs`, after every step.
//!
//! `TASKTALLY_SIM_SEEDS=N` runs seeds 0 to N - 1, `TASKTALLY_SIM_SEED=S` runs one and tells its steps,
//! `TASKTALLY_SIM_STEPS` sets the number of steps of each.

mod simulation {
    pub mod callers;
    pub mod forgetting;
    pub mod growth;
    pub mod oracle;
    pub mod plan;
    pub mod run;
    pub mod store;
    pub mod trace;
    pub mod world;
}
mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use simulation::plan::Drawer;
use simulation::run::{keep_quiet, run, shrink};
use simulation::world::Seen;

const STEPS: usize = 600;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

fn steps() -> usize {
    number("TASKTALLY_SIM_STEPS").map_or(STEPS, |steps| steps as usize)
}

/// Tells how a seed failed: the fewest steps that show it, and how to see it again.
fn report(drawer: &Drawer, seed: u64, steps: usize, at: usize, why: &str) -> String {
    let plan = drawer.draw(seed, steps);
    let (smallest, smallest_why) = shrink(&plan, at, 2000);
    let mut told = format!("seed {seed} fails at step {at} of {steps}: {why}\n\n{:?}\n", smallest.shape);
    told += &format!("{} steps are enough:\n", smallest.steps.len());
    for step in &smallest.steps {
        told += &format!("  {step:?}\n");
    }
    told += &format!("then: {}\n\n", if smallest_why.is_empty() { why } else { &smallest_why });
    told += "To see it again:\n";
    told += &format!(
        "  TASKTALLY_SIM_SEED={seed} TASKTALLY_SIM_STEPS={steps} cargo test --release --test simulation -- --nocapture\n"
    );
    told
}

#[test]
fn whatever_happens_in_whatever_order_the_law_holds() {
    keep_quiet();
    let steps = steps();
    if let Some(seed) = number("TASKTALLY_SIM_SEED") {
        let drawer = Drawer::new();
        if let Some((at, why)) = run(&drawer.draw(seed, steps)).failure {
            println!("{}", report(&drawer, seed, steps, at, &why));
            panic!("seed {seed} fails");
        }
        return;
    }
    let seeds = number("TASKTALLY_SIM_SEEDS").unwrap_or(60);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let (seen, told) = (Mutex::new(Seen::new()), Mutex::new(String::new()));
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let drawer = Drawer::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run(&drawer.draw(seed, steps));
                    if let Some((at, why)) = outcome.failure
                        && !failed.swap(true, Ordering::Relaxed)
                    {
                        let report = report(&drawer, seed, steps, at, &why);
                        *told.lock().unwrap_or_else(PoisonError::into_inner) = report;
                    }
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    for (what, times) in outcome.seen {
                        *seen.entry(what).or_default() += times;
                    }
                }
            });
        }
    });
    let told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !told.is_empty() {
        println!("{told}");
        panic!("a seed fails; its steps are above");
    }
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds of {steps} steps in {seconds:.1} s: {:.0} steps a second",
        (seeds * steps as u64) as f64 / seconds
    );
    for (what, times) in &seen {
        println!("{what}: {times}");
    }
    assert_all_was_tried(&seen);
}

/// What was never seen is not shown to hold.
fn assert_all_was_tried(seen: &Seen) {
    const TRIED: [&str; 22] = [
        "accepted",
        "callers gone",
        "calls",
        "calls lost",
        "calls rolled back",
        "clock set back",
        "duplicates",
        "events replayed",
        "forgotten",
        "forgotten in vain",
        "forgotten under a watcher",
        "kills",
        "lost",
        "overload",
        "refused",
        "restarts with carry-over",
        "rounds of the keeper",
        "stops",
        "ticks",
        "unwritable",
        "watches",
        "answers",
    ];
    for what in TRIED {
        assert!(seen.get(what).is_some_and(|times| *times > 0), "{what}: never seen, so nothing was tried on it");
    }
}

#[test]
fn the_same_seed_twice_goes_the_same_way() {
    keep_quiet();
    let drawer = Drawer::new();
    let mut traces = Vec::new();
    for seed in 1000..1010 {
        let (one, other) = (run(&drawer.draw(seed, steps())), run(&Drawer::new().draw(seed, steps())));
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_eq!(one.seen, other.seen, "seed {seed}");
        traces.push(one.trace);
    }
    traces.dedup();
    assert_eq!(traces.len(), 10, "each seed goes its own way");
}
