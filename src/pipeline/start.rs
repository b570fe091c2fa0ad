//! Starts the threads, and joins them in the end.

use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use tokio::sync::watch;

use super::clock::Clock;
use super::handle::Pipeline;
use super::keeper::Keeper;
use super::machine::{Machine, Settings, Step};
use super::recovery::Recovered;
use super::store::{Ephemeral, JournalStore};
use super::writer::JournalHealth;
use crate::journal::Journal;

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
    let store = Box::new(JournalStore::new(journal, settings.retention_ms));
    Machine::new(settings, clock, store, recovered, dir, pipeline).start()
}

/// Starts with nothing, and keeps nothing.
pub fn start_ephemeral(settings: Settings, clock: Arc<dyn Clock>, pipeline: Pipeline) -> std::io::Result<Running> {
    let store = Box::new(Ephemeral::default());
    let machine = Machine::new(settings, clock, store, Recovered::nothing(), Path::new(""), pipeline);
    Ok(Running { keeper: None, ..machine.start()? })
}

impl Machine {
    /// Gives each part a thread that moves it on.
    pub fn start(self) -> std::io::Result<Running> {
        let Machine { pipeline, keeper, owners, mut writer, health } = self;
        let mut threads = Vec::new();
        for (number, mut owner) in owners.into_iter().flatten().enumerate() {
            let alarm = Alarm { health: health.clone(), who: format!("the owner of partition {number}") };
            let life = move || {
                let _alarm = alarm;
                loop {
                    match owner.step() {
                        Step::Busy(_) => {}
                        Step::Idle(at_most) => owner.wait(at_most),
                        Step::Over => return,
                    }
                }
            };
            threads.push(Builder::new().name(format!("partition-{number}")).spawn(life)?);
        }
        let alarm = Alarm { health, who: "the journal's writer".into() };
        let life = move || {
            let _alarm = alarm;
            loop {
                match writer.step() {
                    Step::Busy(_) => {}
                    Step::Idle(at_most) => writer.wait(at_most),
                    Step::Over => return,
                }
            }
        };
        threads.push(Builder::new().name("journal".into()).spawn(life)?);
        Ok(Running { pipeline, keeper: Some(keeper), threads })
    }
}

/// Rings when a thread ends by a panic. Nobody else can answer for the workspaces of a partition, or write the journal,
/// so the process must end and come back rather than go on without it.
struct Alarm {
    health: watch::Sender<JournalHealth>,
    who: String,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let cause = format!("{} has ended by a bug", self.who);
            self.health.send_replace(JournalHealth::Lost(cause.into()));
        }
    }
}

impl Running {
    /// Settles what has been submitted, ends the threads and closes the journal. Handles that are left answer
    /// `Stopping`. Blocks.
    pub fn stop(self) {
        let Running { pipeline, keeper, threads } = self;
        pipeline.tell_to_stop();
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
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::{Caller, GrowthLimits, Patience};
    use super::*;
    use crate::engine::ChannelFilter;
    use crate::event::{Millis, WorkspaceSid};

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
    async fn a_thread_that_panics_is_noticed_and_nothing_more_is_taken() {
        let growth = GrowthLimits {
            workspaces: 1,
            channels: 1,
            workers: 1,
            activities: 1,
            tasks: 1,
            name_bytes: 100,
            ..GrowthLimits::default()
        };
        let settings = Settings {
            retention_ms: crate::event::DAY_MS,
            partitions: 2,
            queue_events: 10,
            queue_questions: 10,
            views: 10,
            views_per_workspace: 10,
            min_free_disk_bytes: 0,
            growth,
        };
        let clock = Arc::new(Breaking::default());
        let running = start_ephemeral(settings, clock.clone(), Pipeline::default()).unwrap();
        let (pipeline, caller) = (running.pipeline.clone(), Caller::everything());
        let mut health = pipeline.health().unwrap();
        clock.0.store(true, Ordering::Relaxed);
        let workspace = WorkspaceSid::from_bytes([7; 16]);
        // The writer looks at the clock too, now and then: whoever does first.
        assert!(pipeline.realtime(&caller, workspace, &ChannelFilter::All).await.is_err());
        let lost = health.wait_for(|health| matches!(health, JournalHealth::Lost(_))).await.unwrap().clone();
        assert!(format!("{lost:?}").contains("has ended by a bug"), "{lost:?}");
        assert!(pipeline.submit(&caller, Vec::new(), Patience::Refuse).await.is_err());
    }
}
