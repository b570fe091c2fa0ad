//! Death at every point, and power cuts: engine, pipeline and journal in a process of their own, on a disk that records
//! each change (`faults/shim.c`). Commits, checkpoints, carry-over, pruning, compression, restarts, and recovery itself.
//!
//! * Killed in earnest: SIGKILL before, after and in the middle of a change.
//! * From the record of one life: what a kill after each change would have left, what a power cut at least, and seeded
//!   mixtures in which some sectors of what was not synced have reached the disk.
//! * Recovery of such a thing, recorded in the same way, and judged at each of its own changes.
//!
//! `TASKTALLY_FAULTS_SEED` repeats a run; `TASKTALLY_FAULTS_POINTS` says after how many changes the power is cut, 40 if it
//! does not. A quarter as many processes are killed in three ways, and after a tenth as many kills a recovery is judged, at a
//! fifth as many of its changes. `all` is every one of everything.

mod faults;
mod kill_points {
    pub mod history;
    pub mod judge;
    pub mod life;
}
mod support;

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use faults::trace::{Disk, Kind, Record, image_of, lay_out};
use faults::{Action, Faults, Rule, files, kinds, scratch, trace};
use kill_points::history::History;
use kill_points::judge::{Known, judge, judge_folder, judge_log};
use kill_points::life::{self, Plan};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn process_under_test() {
    life::live();
}

fn seed() -> u64 {
    let asked = std::env::var("TASKTALLY_FAULTS_SEED").ok();
    let seed = asked.map_or_else(rand::random, |seed| seed.parse().expect("TASKTALLY_FAULTS_SEED is a number"));
    println!("TASKTALLY_FAULTS_SEED={seed} repeats this run's draws");
    seed
}

/// One of so many of what is asked for, of the given points, drawn; or all of them.
fn chosen(mut points: Vec<usize>, one_in: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let most: usize = match std::env::var("TASKTALLY_FAULTS_POINTS").as_deref() {
        Ok("all") => return points,
        Ok(number) => number.parse().expect("TASKTALLY_FAULTS_POINTS is a number or `all`"),
        Err(_) => 40,
    };
    points.shuffle(rng);
    points.truncate((most / one_in).max(1));
    points.sort_unstable();
    points
}

/// Each of the points, on all cores; answers the sum. What is drawn for a point depends on the seed and on it alone.
fn at_each(points: &[usize], seed: u64, judge: impl Fn(usize, &mut ChaCha8Rng) -> usize + Sync) -> usize {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut sum = 0;
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(1 + *point as u64);
            sum += judge(*point, &mut rng);
        }
        sum
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(2, |cores| cores.get());
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let sums = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        sums.sum()
    })
}

/// A life that nothing happens to: what it recorded, by the end of which its folder must be what the record says.
fn whole_life(seed: u64) -> Vec<Record> {
    let dir = scratch();
    let faults = Faults::of(dir.path());
    let (status, said) = life::run(&Plan::Whole { seed }, &faults);
    assert!(status.success(), "{status}: {said}");
    let records = trace::read(&faults.trace_file());
    let (disk, known) = replay(&records);
    assert!(known.ended, "it did all that it was to do");
    assert_eq!(known.pending(), [0_usize; 0]);
    assert!(disk.now() == image_of(dir.path()), "the shim has seen every change");
    let Known { compressed, dropped, carried, .. } = known;
    println!("blocks made: {compressed}, events dropped: {dropped}, carried over: {carried}");
    assert!(compressed > 0 && dropped > 0 && carried > 0, "there is more to die in than commits");
    records
}

fn replay(records: &[Record]) -> (Disk, Known) {
    let (mut disk, mut known) = (Disk::default(), Known::nothing());
    for record in records {
        disk.take(record);
        known.take(record);
    }
    (disk, known)
}

fn changes(records: &[Record]) -> Vec<usize> {
    (0..records.len()).filter(|at| records[*at].is_change()).collect()
}

#[test]
fn a_power_cut_after_any_change_loses_nothing_that_was_acknowledged() {
    let seed = seed();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (history, records) = (History::of(seed), whole_life(seed));
    let points = changes(&records);
    println!("{} changes", points.len());
    let points = chosen(points, 1, &mut rng);
    let (mut disk, mut known) = (Disk::default(), Known::nothing());
    let mut judged = 0;
    for (at, record) in records.iter().enumerate() {
        if points.contains(&at) && record.kind == Kind::Write {
            let mut torn = disk.clone();
            torn.take(&record.torn());
            judge(&history, &known, &torn.now(), &format!("seed {seed}, killed within change {at}"));
        }
        disk.take(record);
        known.take(record);
        if !points.contains(&at) {
            continue;
        }
        judged += 1;
        judge(&history, &known, &disk.now(), &format!("seed {seed}, killed after change {at}"));
        judge_log(&history, &known, disk.now(), &format!("seed {seed}, killed after change {at}"));
        judge(&history, &known, &disk.synced(), &format!("seed {seed}, power cut after change {at}"));
        judge_log(&history, &known, disk.synced(), &format!("seed {seed}, power cut after change {at}"));
        for _ in 0..2 {
            judge(&history, &known, &disk.some(&mut rng), &format!("seed {seed}, power partly cut after change {at}"));
        }
    }
    println!("{judged} points judged");
}

/// What a recovery did that began on what a death at this point of a life had left.
fn recovery_after(records: &[Record], seed: u64, what: &str) -> Vec<Record> {
    let (disk, known) = replay(records);
    let dir = scratch();
    lay_out(&disk.now(), dir.path());
    let faults = Faults::of(dir.path());
    let plan = Plan::Resume { seed, now: known.now, calls: known.pending() };
    let (status, said) = life::run(&plan, &faults);
    assert!(status.success(), "{what}: {status}: {said}");
    let recovery = trace::read(&faults.trace_file());
    let (disk, known) = replay(&[records, &recovery].concat());
    assert!(known.ended, "{what}: it did all that it was to do");
    assert_eq!(known.pending(), [0_usize; 0], "{what}");
    assert!(disk.now() == image_of(dir.path()), "{what}: the shim has seen every change");
    recovery
}

/// What a killed process wrote and did not sync is lost by a power cut after the next start, unless that start syncs it
/// before it builds upon it.
#[test]
fn a_recovery_cut_off_at_any_change_can_be_begun_again() {
    let seed = seed();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (history, records) = (History::of(seed), whole_life(seed));
    let points = chosen(changes(&records), 10, &mut rng);
    let judged = at_each(&points, seed, |at, rng| {
        let mut judged = 0;
        let what = format!("seed {seed}, killed after change {at}");
        let recovery = recovery_after(&records[..=at], seed, &what);
        let points = chosen(changes(&recovery), 5, rng);
        let (mut disk, mut known) = replay(&records[..=at]);
        for (then, record) in recovery.iter().enumerate() {
            disk.take(record);
            known.take(record);
            if !points.contains(&then) {
                continue;
            }
            judged += 1;
            judge(&history, &known, &disk.now(), &format!("{what}, then killed after change {then}"));
            judge_log(&history, &known, disk.now(), &format!("{what}, then killed after change {then}"));
            judge(&history, &known, &disk.synced(), &format!("{what}, then power cut after change {then}"));
            judge(&history, &known, &disk.some(rng), &format!("{what}, then power partly cut after change {then}"));
        }
        judged
    });
    println!("{judged} points judged");
}

#[test]
fn a_process_killed_at_any_change_keeps_what_it_acknowledged() {
    let seed = seed();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (history, records) = (History::of(seed), whole_life(seed));
    let points = chosen((0..changes(&records).len()).collect(), 4, &mut rng);
    let killed = at_each(&points, seed, |point, rng| {
        let mut killed = 0;
        for action in [Action::KillBefore, Action::TornKill(rng.random_range(1..1024)), Action::KillAfter] {
            let what = format!("seed {seed}, {action:?} at change {point}");
            let dir = scratch();
            let faults = Faults::of(dir.path());
            let on = if matches!(action, Action::TornKill(_)) { kinds::WRITE } else { kinds::CHANGES };
            faults.tell(Rule::new(action, on, files::ALL).nth(point as u64));
            let (status, said) = life::run(&Plan::Whole { seed }, &faults);
            let (disk, known) = replay(&trace::read(&faults.trace_file()));
            // The threads of one life do not take turns as those of another, so the last points may not be reached.
            assert_eq!(status.success(), known.ended, "{what}: {status}: {said}");
            assert!(known.ended || faults.hit() == 1, "{what}: {status}: {said}");
            killed += usize::from(!known.ended);
            assert!(disk.now() == image_of(dir.path()), "{what}: the shim has seen every change");
            judge_folder(&history, &known, dir.path(), &what);
        }
        killed
    });
    println!("{killed} processes killed");
    assert!(killed > 0, "nobody was killed");
}
