//! Starts the threads, and joins them in the end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::thread::JoinHandle;

use crossbeam_channel::{bounded, unbounded};
use tokio::sync::{Semaphore, watch};

use super::admission::GrowthLimits;
use super::ask::Question;
use super::clock::Clock;
use super::handle::{Inner, PartitionHandle, Pipeline, partition_of};
use super::keeper::Keeper;
use super::owner::{Inbox, Owner};
use super::partition::Partition;
use super::recovery::Recovered;
use super::shelf::Shelf;
use super::store::{Ephemeral, JournalStore, Store};
use super::writer::{JournalHealth, Writer};
use crate::engine::{Table, Workspace};
use crate::event::{Millis, WorkspaceSid};
use crate::journal::Journal;

/// How the pipeline is to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub retention_ms: i64,
    pub partitions: usize,
    /// Events waiting or under way, a partition.
    pub queue_events: usize,
    /// Questions waiting, a partition.
    pub queue_questions: usize,
    /// Published answers kept for readers, in all partitions together and for one workspace.
    pub views: usize,
    pub views_per_workspace: usize,
    pub growth: GrowthLimits,
}

/// A pipeline and its threads.
pub struct Running {
    pub pipeline: Pipeline,
    /// `None` where nothing is on disk.
    pub keeper: Option<Keeper>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts on a journal and the state that was recovered from it; `pipeline` answers from then on.
pub fn start(
    settings: Settings,
    clock: Arc<dyn Clock>,
    journal: Journal,
    recovered: Recovered,
    dir: &Path,
    pipeline: Pipeline,
) -> std::io::Result<Running> {
    let Recovered { workspaces, key, carried, replayed } = recovered;
    let end = journal.end();
    let droppable = Arc::new(AtomicBool::new(false));
    let store = JournalStore::new(journal, clock.clone(), settings.retention_ms, droppable.clone());
    let (chores_in, chores) = bounded(1);
    let (inner, threads) = start_threads(settings, clock, Box::new(store), end, key, workspaces, chores)?;
    fill(&pipeline, inner);
    let keeper = Keeper {
        pipeline: pipeline.clone(),
        settings,
        key,
        dir: dir.to_path_buf(),
        chores: chores_in,
        carried,
        written: end - replayed.min(end),
        droppable,
        pruned_at: Millis(0),
        carried_to: Millis(0),
    };
    Ok(Running { pipeline, keeper: Some(keeper), threads })
}

/// Starts with nothing, and keeps nothing.
pub fn start_ephemeral(settings: Settings, clock: Arc<dyn Clock>, pipeline: Pipeline) -> std::io::Result<Running> {
    let store = Box::new(Ephemeral::default());
    let (_, chores) = bounded(1);
    let (inner, threads) = start_threads(settings, clock, store, 0, rand::random(), Table::default(), chores)?;
    fill(&pipeline, inner);
    Ok(Running { pipeline, keeper: None, threads })
}

#[expect(clippy::disallowed_methods, reason = "what callers can put in is bounded by permits: see `Inner`")]
fn start_threads(
    settings: Settings,
    clock: Arc<dyn Clock>,
    store: Box<dyn Store>,
    end: u64,
    key: u64,
    workspaces: Table<WorkspaceSid, Workspace>,
    chores: crossbeam_channel::Receiver<super::store::Chore>,
) -> std::io::Result<(Inner, Vec<JoinHandle<()>>)> {
    let count = Arc::new(AtomicUsize::new(workspaces.len()));
    let mut shares: Vec<Table<WorkspaceSid, Workspace>> = (0..settings.partitions).map(|_| Table::default()).collect();
    for (sid, state) in workspaces {
        shares[partition_of(sid, settings.partitions)].insert(sid, state);
    }
    let (rows_in, rows) = bounded(settings.partitions);
    let (health_in, health) = watch::channel(JournalHealth::Writable);
    let (mut verdicts, mut handles, mut threads) = (Vec::new(), Vec::new(), Vec::new());
    for (number, share) in shares.into_iter().enumerate() {
        let (calls_in, calls) = unbounded();
        let (questions_in, questions) = unbounded();
        let (verdicts_in, verdicts_out) = unbounded();
        let (shelf, passed) = (Shelf::default(), Arc::new(AtomicU64::new(end)));
        let partition =
            Partition::new(settings, key, share, count.clone(), shelf.clone(), passed.clone(), clock.clone());
        let inbox = Inbox { calls, questions, verdicts: verdicts_out };
        let owner = Owner { partition, inbox, journal: rows_in.clone(), number };
        let (clock, alarm) = (clock.clone(), Alarm { health: health_in.clone(), number });
        let thread = std::thread::Builder::new().name(format!("partition-{number}"));
        let life = move || {
            let _alarm = alarm;
            owner.run(|| clock.now());
        };
        threads.push(thread.spawn(life)?);
        verdicts.push(verdicts_in);
        handles.push(PartitionHandle {
            calls: calls_in,
            questions: questions_in,
            asking: Arc::new(Semaphore::new(settings.queue_questions)),
            places: Arc::new(Semaphore::new(settings.queue_events)),
            shelf,
            passed,
        });
    }
    let writer = Writer { store, rows, verdicts, chores, health: health_in };
    threads.push(std::thread::Builder::new().name("journal".into()).spawn(move || writer.run())?);
    Ok((Inner { partitions: handles.into(), health, queue_events: settings.queue_events }, threads))
}

fn fill(pipeline: &Pipeline, inner: Inner) {
    assert!(pipeline.inner.set(inner).is_ok(), "a pipeline was started twice");
}

/// Rings when the thread of a partition ends by a panic. Nobody else can answer for its workspaces, so the process
/// must end and come back rather than go on without them.
struct Alarm {
    health: watch::Sender<JournalHealth>,
    number: usize,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let cause = format!("the owner of partition {} has ended by a bug", self.number);
            self.health.send_replace(JournalHealth::Lost(cause.into()));
        }
    }
}

impl Running {
    /// Settles what has been submitted, ends the threads and closes the journal. Handles that are left answer
    /// `Stopping`. Blocks.
    pub fn stop(self) {
        let Running { pipeline, keeper, threads } = self;
        for partition in pipeline.inner.get().map_or(&[][..], |inner| &inner.partitions) {
            // One that is gone already needs not be told.
            let _ = partition.questions.send(Question::Stop);
        }
        drop(keeper);
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::{Caller, Patience};
    use super::*;
    use crate::engine::ChannelFilter;

    /// Tells no time once it is broken.
    #[derive(Default)]
    struct Breaking(AtomicBool);

    impl Clock for Breaking {
        fn now(&self) -> Millis {
            assert!(!self.0.load(Ordering::Relaxed), "this clock is broken");
            Millis(1_800_000_000_000)
        }
    }

    #[tokio::test]
    async fn a_partition_that_panics_is_noticed_and_nothing_more_is_taken() {
        let growth = GrowthLimits { workspaces: 1, channels: 1, workers: 1, activities: 1, tasks: 1, name_bytes: 100 };
        let settings = Settings {
            retention_ms: crate::event::DAY_MS,
            partitions: 2,
            queue_events: 10,
            queue_questions: 10,
            views: 10,
            views_per_workspace: 10,
            growth,
        };
        let clock = Arc::new(Breaking::default());
        let running = start_ephemeral(settings, clock.clone(), Pipeline::default()).unwrap();
        let (pipeline, caller) = (running.pipeline.clone(), Caller::everything());
        let mut health = pipeline.health().unwrap();
        clock.0.store(true, Ordering::Relaxed);
        let workspace = WorkspaceSid::from_bytes([7; 16]);
        assert!(pipeline.realtime(&caller, workspace, &ChannelFilter::All).await.is_err());
        let lost = health.wait_for(|health| matches!(health, JournalHealth::Lost(_))).await.unwrap().clone();
        assert!(format!("{lost:?}").contains("has ended by a bug"), "{lost:?}");
        assert!(pipeline.submit(&caller, Vec::new(), Patience::Refuse).await.is_err());
    }
}
