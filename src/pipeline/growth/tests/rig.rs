//! A pipeline that a test moves on step by step, over a store that refuses when it is told to.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use super::NOW;
use crate::engine::ChannelFilter;
use crate::event::{Event, EventSid, HOUR_MS, Millis, WorkspaceSid};
use crate::journal::{AppendError, Cause, Row};
use crate::pipeline::{
    Caller, Chore, Clock, Ephemeral, GrowthLimits, IngestError, Ingested, Machine, Patience, Pipeline, Recovered,
    Refusal, Settings, Slice, Step, Store,
};

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Millis {
        Millis(NOW + self.0.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst) as u64)
    }
}

/// A store that refuses events when told to.
struct Moody {
    store: Ephemeral,
    refuses: Arc<AtomicBool>,
}

impl Store for Moody {
    fn end(&self) -> u64 {
        self.store.end()
    }

    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        if self.refuses.load(Ordering::SeqCst) {
            let source = std::io::ErrorKind::StorageFull.into();
            return Err(AppendError::Refused { cause: Cause::Io { doing: "append", source } });
        }
        self.store.append(rows)
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        self.store.probe()
    }

    fn take_chore(&mut self, chore: Chore) {
        self.store.take_chore(chore);
    }

    fn do_slice(&mut self, now: Millis, uptime: Duration) -> Result<Slice, AppendError> {
        self.store.do_slice(now, uptime)
    }
}

pub struct Rig {
    pub machine: Machine,
    clock: Arc<Hand>,
    pub refuses: Arc<AtomicBool>,
    sent: u64,
}

impl Rig {
    pub fn new(growth: GrowthLimits) -> Rig {
        Rig::from(growth, Recovered::nothing())
    }

    pub fn from(growth: GrowthLimits, recovered: Recovered) -> Rig {
        Rig::keeping((10, 10), growth, recovered)
    }

    /// With so many views in a partition, and so many of them of one workspace.
    pub fn keeping((views, views_per_workspace): (usize, usize), growth: GrowthLimits, recovered: Recovered) -> Rig {
        let settings = Settings {
            retention_ms: HOUR_MS,
            partitions: 3,
            queue_events: 1_000,
            queue_questions: 10,
            views,
            views_per_workspace,
            min_free_disk_bytes: 0,
            growth,
        };
        let (clock, refuses) = (Arc::new(Hand::default()), Arc::new(AtomicBool::new(false)));
        let store = Box::new(Moody { store: Ephemeral::default(), refuses: refuses.clone() });
        let machine = Machine::new(settings, clock.clone(), store, recovered, Path::new(""), Pipeline::default());
        Rig { machine, clock, refuses, sent: 0 }
    }

    /// Sends events with sids of their own in one call.
    pub fn send(&mut self, events: impl IntoIterator<Item = Event>) -> Result<Ingested, IngestError> {
        let events: Vec<Event> = events
            .into_iter()
            .map(|event| {
                self.sent += 1;
                let mut sid = [0; 16];
                sid[..8].copy_from_slice(&self.sent.to_be_bytes());
                Event { sid: EventSid::from_bytes(sid), at: self.clock.now(), ..event }
            })
            .collect();
        self.send_as_they_are(events)
    }

    pub fn send_as_they_are(&mut self, events: Vec<Event>) -> Result<Ingested, IngestError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pipeline = self.machine.pipeline.clone();
        let events = (0..).zip(events).collect();
        let submitted = runtime.block_on(pipeline.submit(&Caller::everything(), events, Patience::Refuse))?;
        self.settle();
        runtime.block_on(submitted.settled())
    }

    /// Asks for the real-time figures; answers whether they were there without asking the owner.
    pub fn is_kept(&mut self, workspace: u8, channel: &str) -> bool {
        let (pipeline, caller) = (self.machine.pipeline.clone(), Caller::everything());
        let filter = ChannelFilter::parse(channel);
        let mut asked = pin!(pipeline.realtime(&caller, WorkspaceSid::from_bytes([workspace; 16]), &filter));
        let mut context = Context::from_waker(Waker::noop());
        let at_once = asked.as_mut().poll(&mut context).is_ready();
        self.settle();
        assert!(at_once || asked.as_mut().poll(&mut context).is_ready());
        at_once
    }

    fn settle(&mut self) {
        loop {
            let partitions = 0..self.machine.partitions();
            let steps: Vec<Step> = partitions.map(|number| self.machine.step_partition(number)).collect();
            let writer = self.machine.step_writer();
            if !matches!(writer, Step::Busy(_)) && steps.iter().all(|step| !matches!(step, Step::Busy(_))) {
                return;
            }
        }
    }

    /// Sends one event and answers the bound that it met, if any.
    pub fn bound_met(&mut self, event: Event) -> Option<(&'static str, u64)> {
        let ingested = self.send([event]).unwrap();
        match ingested.refused.as_slice() {
            [] => None,
            [(0, Refusal::LimitExceeded { limit, most, .. })] => Some((limit, *most)),
            other => panic!("{other:?}"),
        }
    }

    pub fn later(&mut self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
        self.settle();
        self.clock.0.fetch_add(1_000, Ordering::SeqCst);
        self.settle();
    }
}
