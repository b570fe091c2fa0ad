//! One seed, from its first step to its last or to the one that fails; and, for one that fails, with steps cut out.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tasktally::event::HOUR_MS;

use super::oracle::{Health, Unclear};
use super::plan::{Plan, Step};
use super::world::{Seen, World};

/// What a run came to.
pub struct Outcome {
    pub trace: u64,
    pub seen: Seen,
    /// The step that failed, counted from 0, and why.
    pub failure: Option<(usize, String)>,
}

thread_local! {
    static LAST_WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Failures are caught and told at the end, once; not at each of the many tries to make them smaller.
pub fn keep_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        let said = match panic.location() {
            Some(at) => format!("{}:{}: {}", at.file(), at.line(), panic.payload_as_str().unwrap_or("?")),
            None => "?".into(),
        };
        LAST_WORDS.with(|words| *words.borrow_mut() = said);
    }));
}

pub fn run(plan: &Plan) -> Outcome {
    let mut world = None;
    let mut at = 0;
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::new(&plan.shape));
        let mut doomed = 0;
        for step in &plan.steps {
            carry_out(world, step);
            // A process whose journal is lost ends within a second.
            doomed += usize::from(world.oracle.health == Health::Lost);
            if doomed > 10 {
                doomed = 0;
                world.kill(true, world.oracle.parts.len());
            }
            at += 1;
        }
        world.kill(true, plan.shape.partitions);
        world.settle();
    }));
    let unclear = ran.as_ref().is_err_and(|panic| panic.is::<Unclear>());
    let failure = ran.err().filter(|_| !unclear).map(|_| (at, LAST_WORDS.with(|words| words.borrow().clone())));
    let (trace, mut seen) = world.map_or((0, Seen::new()), |world| (world.trace.hash(), world.seen));
    *seen.entry("runs that could not be followed to the end").or_default() += u64::from(unclear);
    Outcome { trace, seen, failure }
}

fn carry_out(world: &mut World, step: &Step) {
    match step {
        Step::Call(offers, who) => world.submit(offers, *who),
        Step::Leave(nth) => world.leave(*nth),
        Step::Forget(workspace, who) => world.forget(*workspace, *who),
        Step::Partition(number) => drop(world.move_partition(number % world.oracle.parts.len())),
        Step::Writer => drop(world.move_writer()),
        Step::Keeper => drop(world.move_keeper()),
        Step::BeginKeeping(due) => world.begin_keeping(*due),
        Step::Settle => world.settle(),
        Step::Ask(ask, about, who) => world.ask(ask, *about, *who),
        Step::Watch(ask) => world.watch(ask),
        Step::Unwatch(nth) => world.unwatch(*nth),
        Step::Pass(wall_ms, uptime_ms) => world.pass(*wall_ms, *uptime_ms),
        Step::Jump(jump) => {
            let ms = jump.resolve(&world.oracle.model, world.now()) - world.now();
            world.pass(ms, ms);
        }
        Step::Set(ms) => world.pass(*ms, 0),
        Step::Swing(ms, anew) => {
            world.pass(*ms, 0);
            world.settle();
            world.begin_keeping(true);
            world.settle();
            world.pass(-ms, 0);
            if *anew {
                world.kill(false, world.oracle.parts.len());
            }
        }
        Step::Age => {
            let ms = world.oracle.shape.retention_ms + HOUR_MS + 300_001;
            world.pass(ms, ms);
        }
        Step::Fail(fault) => world.fail(*fault),
        Step::Kill { with_checkpoints, partitions } => world.kill(*with_checkpoints, *partitions),
        Step::Stop { partitions } => world.stop(*partitions),
    }
}

/// The same plan with as many steps cut out as can be without the failure going away, within so many tries.
pub fn shrink(plan: &Plan, failed_at: usize, mut tries: usize) -> (Plan, String) {
    let mut best = plan.clone();
    best.steps.truncate(failed_at + 1);
    let mut why = String::new();
    let mut length = best.steps.len().div_ceil(2);
    while length > 0 {
        let mut from = 0;
        while from < best.steps.len() && tries > 0 {
            let mut smaller = best.clone();
            smaller.steps.drain(from..(from + length).min(best.steps.len()));
            tries -= 1;
            match run(&smaller).failure {
                Some((at, words)) => {
                    smaller.steps.truncate(at + 1);
                    (best, why) = (smaller, words);
                }
                None => from += length,
            }
        }
        length /= 2;
    }
    (best, why)
}
