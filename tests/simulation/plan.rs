//! What one seed stands for: how the pipeline is to be, and the steps to take, drawn before the first is taken. Steps
//! speak of "the third caller that waits" or "like that event", so a plan makes sense with steps cut out of it.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tasktally::event::{HOUR_MS, MINUTE_MS};

use crate::support::random::{self, Ask, Jump, Offer, WORKSPACES};

#[derive(Clone, Debug)]
pub struct Plan {
    pub shape: Shape,
    pub steps: Vec<Step>,
}

/// What stays the same over the whole run.
#[derive(Clone, Debug)]
pub struct Shape {
    pub retention_ms: i64,
    pub first_moment: i64,
    pub partitions: usize,
    /// Events that may wait in a partition.
    pub queue_events: usize,
    /// Bounds on growth that are reached, or none.
    pub workspaces: Option<usize>,
    pub workers: Option<usize>,
    pub activities: Option<usize>,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// A call is submitted; nobody waits for the answer.
    Call(Vec<Offer>, Who),
    /// The n-th caller that waits goes away, one that sent events or one that has a workspace forgotten.
    Leave(usize),
    /// One message of one partition, one turn of the writer, one of the keeper.
    Partition(usize),
    Writer,
    Keeper,
    /// A round of the keeper begins; whether it is to drop old rows as if it was time for it.
    BeginKeeping(bool),
    /// Everything moves until nothing more does.
    Settle,
    /// Somebody has a workspace forgotten; nobody waits for the answer.
    Forget(u32, Who),
    /// A question is asked; nobody waits for the answer.
    Ask(Ask, About, Who),
    /// Watches a published answer, or ceases to.
    Watch(Ask),
    Unwatch(usize),
    /// Time goes by: the clock's and the uptime's milliseconds, which a clock that drifts tells apart.
    Pass(i64, i64),
    Jump(Jump),
    /// The host's clock is set forward, or back.
    Set(i64),
    /// The clock is set forward, rows are dropped by it, and it is set back; whether the process then begins anew from
    /// the log alone.
    Swing(i64, bool),
    /// Time for all rows to grow too old.
    Age,
    Fail(Fault),
    /// The process is killed and begins anew.
    Kill {
        with_checkpoints: bool,
        partitions: usize,
    },
    /// The process is told to stop, and begins anew.
    Stop {
        partitions: usize,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Who {
    Anybody,
    /// Whose account is that of this workspace.
    Owner(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Realtime,
    Cumulative,
    Both,
}

/// What the store does to what it is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next append is refused, and so many trials after it.
    Refuse(u32),
    /// The next slice of chores is.
    RefuseSlice,
    /// The next append has an unknown outcome: it is on disk, or it is not.
    Lose { written: bool },
}

fn step() -> BoxedStrategy<Step> {
    let partitions = || 1usize..4;
    let who = || prop_oneof![8 => Just(Who::Anybody), 1 => (0..WORKSPACES).prop_map(Who::Owner)];
    let about = select(vec![About::Realtime, About::Cumulative, About::Both]);
    let set = || select(vec![1, 999, 1000, 1001, MINUTE_MS, 5 * MINUTE_MS, 5 * MINUTE_MS + 1, HOUR_MS - 1, HOUR_MS]);
    let pass = prop_oneof![select(vec![1, 9, 10, 11, 999, 1000, 1001, 5000]), 0i64..20_000,];
    let fault = prop_oneof![
        3 => (0u32..3).prop_map(Fault::Refuse),
        1 => Just(Fault::RefuseSlice),
        2 => any::<bool>().prop_map(|written| Fault::Lose { written }),
    ];
    let calling = prop_oneof![
        12 => (vec(random::offer(), 0..6), who()).prop_map(|(offers, who)| Step::Call(offers, who)),
        1 => (0usize..8).prop_map(Step::Leave),
        1 => (0..=WORKSPACES, who()).prop_map(|(workspace, who)| Step::Forget(workspace, who)),
    ];
    let moving = prop_oneof![
        24 => (0usize..4).prop_map(Step::Partition),
        12 => Just(Step::Writer),
        6 => Just(Step::Keeper),
        4 => any::<bool>().prop_map(Step::BeginKeeping),
        6 => Just(Step::Settle),
    ];
    let asking = prop_oneof![
        10 => (random::ask(), about, who()).prop_map(|(ask, about, who)| Step::Ask(ask, about, who)),
        2 => random::ask().prop_map(Step::Watch),
        1 => (0usize..4).prop_map(Step::Unwatch),
    ];
    let time = prop_oneof![
        40 => (pass, -9i64..10).prop_map(|(ms, drift)| Step::Pass(ms + ms * drift / 100, ms)),
        10 => random::jump().prop_map(Step::Jump),
        10 => (set(), any::<bool>()).prop_map(|(ms, back)| Step::Set(if back { -ms } else { ms })),
        1 => (set(), any::<bool>()).prop_map(|(ms, anew)| Step::Swing(ms, anew)),
        1 => Just(Step::Age),
    ];
    let trouble = prop_oneof![
        3 => fault.prop_map(Step::Fail),
        2 => (any::<bool>(), partitions())
            .prop_map(|(with_checkpoints, partitions)| Step::Kill { with_checkpoints, partitions }),
        1 => partitions().prop_map(|partitions| Step::Stop { partitions }),
    ];
    prop_oneof![20 => calling, 50 => moving, 13 => asking, 14 => time, 3 => trouble].boxed()
}

fn shape() -> BoxedStrategy<Shape> {
    let bound = || option::weighted(0.15, 1usize..3);
    let queue = prop_oneof![4 => Just(10_000usize), 1 => 1usize..20];
    (random::retention_ms(), random::first_moment(), 1usize..4, queue, bound(), bound(), bound())
        .prop_map(|(retention_ms, first_moment, partitions, queue_events, workspaces, workers, activities)| Shape {
            retention_ms,
            first_moment,
            partitions,
            queue_events,
            workspaces,
            workers,
            activities,
        })
        .boxed()
}

/// Draws plans; costly to make, cheap to use.
pub struct Drawer {
    shape: BoxedStrategy<Shape>,
    step: BoxedStrategy<Step>,
}

impl Drawer {
    pub fn new() -> Drawer {
        Drawer { shape: shape(), step: step() }
    }

    /// The same plan for the same seed and number of steps, on every machine.
    pub fn draw(&self, seed: u64, steps: usize) -> Plan {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let shape = drawn(&self.shape, &mut runner);
        let steps = (0..steps).map(|_| drawn(&self.step, &mut runner)).collect();
        Plan { shape, steps }
    }
}

fn drawn<T: std::fmt::Debug>(strategy: &BoxedStrategy<T>, runner: &mut TestRunner) -> T {
    strategy.new_tree(runner).expect("no draw is refused").current()
}
