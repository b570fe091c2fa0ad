//! A workspace that tests change by hand, and those who watch it.

use crate::api::encode::{self, Links, Stamp};
use crate::api::feed::Hub;
use crate::api::source::{Asked, Asking};
use crate::engine::{Realtime, StatusCounts};
use crate::event::{AccountSid, Millis, WorkspaceSid};
use crate::pipeline::{AskError, Stamped};
use prost::Message;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::super::*;

pub const START: Millis = Millis(1_800_000_000_000);

/// A workspace that tests change by hand.
pub struct Fake {
    pub started: Instant,
    state: Mutex<(i64, Arc<Realtime>)>,
    pub ticks: watch::Sender<u64>,
    ended: AtomicBool,
    /// How many there were; `None` where the state is at hand.
    questions: Option<AtomicUsize>,
    /// What the next questions are told instead of the state, the last one first.
    pub refusals: Mutex<Vec<AskError>>,
}

/// How long an answer takes.
pub const ANSWERED_IN_MS: u64 = 3;

impl Fake {
    pub fn stamped(&self) -> Stamped<Arc<Realtime>> {
        let (revision, answer) = self.state.lock().unwrap().clone();
        Stamped { revision, as_of: Millis(self.now()), answer }
    }

    /// The workspace is forgotten.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.ticks.send_modify(|tick| *tick += 1);
    }

    pub fn now(&self) -> i64 {
        START.0 + i64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    /// A new revision with so many workers.
    pub fn set(&self, total_workers: i64) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        state.1 = Arc::new(Realtime { total_workers, ..empty() });
        drop(state);
        self.ticks.send_modify(|tick| *tick += 1);
    }
}

impl Source for Fake {
    type Figures = Arc<Realtime>;
    type Message = v1::WorkspaceRealtimeStatistics;
    type Key = ();

    const TICKS_ARE_CHANGES: bool = true;

    fn key(&self) {}

    fn workspace(&self) -> WorkspaceSid {
        WorkspaceSid::from_bytes([3; 16])
    }

    fn latest(&self) -> Option<Stamped<Arc<Realtime>>> {
        self.questions.is_none().then(|| self.stamped())
    }

    fn ask(self: Arc<Self>) -> Asking<Arc<Realtime>> {
        let asking = self.questions.as_ref().expect("only those without a latest state are asked");
        asking.fetch_add(1, Ordering::SeqCst);
        let (asked_at, tick) = (Instant::now(), *self.ticks.borrow());
        Box::pin(async move {
            sleep(Duration::from_millis(ANSWERED_IN_MS)).await;
            match self.refusals.lock().unwrap().pop() {
                Some(refusal) => Err(refusal),
                None => Ok(Asked { asked_at, tick, stamped: self.stamped() }),
            }
        })
    }

    fn same(one: &Arc<Realtime>, other: &Arc<Realtime>) -> bool {
        one.same_figures(other)
    }

    fn message(links: &Links, workspace: WorkspaceSid, stamped: &Stamped<Arc<Realtime>>) -> Self::Message {
        encode::realtime(Stamp::of(links, workspace, stamped), &stamped.answer)
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

pub fn empty() -> Realtime {
    Realtime {
        account: AccountSid::from_bytes([0xa; 16]),
        activities: Arc::new([]),
        total_workers: 0,
        longest_waiting: None,
        by_priority: Box::default(),
        by_status: StatusCounts::default(),
        total_tasks: 0,
        valid_until: None,
    }
}

pub struct Scene {
    pub source: Arc<Fake>,
    pub hub: Hub<Fake>,
    pub stop: CancellationToken,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::of(None)
    }

    /// Of a state that has to be asked for.
    pub fn asked() -> Scene {
        Scene::of(Some(AtomicUsize::new(0)))
    }

    pub fn questions(&self) -> usize {
        self.source.questions.as_ref().unwrap().load(Ordering::SeqCst)
    }

    pub fn of(questions: Option<AtomicUsize>) -> Scene {
        let source = Arc::new(Fake {
            started: Instant::now(),
            state: Mutex::new((1, Arc::new(empty()))),
            ticks: watch::Sender::new(0),
            ended: AtomicBool::new(false),
            questions,
            refusals: Mutex::default(),
        });
        let stop = CancellationToken::new();
        Scene { source, hub: Hub::new(Arc::new(Links::new("http://localhost")), message, stop.clone()), stop }
    }

    pub fn watch(&self, min_interval_ms: u64, heartbeat_ms: u64) -> Watch<Fake> {
        let feed = self.hub.feed(self.source.clone());
        let pace = Pace {
            min_interval: Duration::from_millis(min_interval_ms),
            heartbeat: Duration::from_millis(heartbeat_ms),
        };
        Watch::new(feed, pace, Instant::now())
    }

    pub fn elapsed_ms(&self) -> i64 {
        self.source.now() - START.0
    }
}

/// A message, as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    pub workers: i64,
    pub revision: i64,
    /// Since the start, in milliseconds.
    pub as_of: i64,
}

pub fn seen(message: &Encoded) -> Seen {
    let message = v1::WatchRealtimeResponse::decode(message.as_bytes().clone()).unwrap();
    let realtime = message.realtime.unwrap();
    let as_of = realtime.as_of.unwrap();
    let as_of = as_of.seconds * 1000 + i64::from(as_of.nanos / 1_000_000) - START.0;
    Seen { workers: realtime.total_workers, revision: realtime.revision, as_of }
}

pub async fn next(watch: &mut Watch<Fake>) -> Seen {
    seen(&watch.next().await.unwrap().unwrap())
}

pub async fn nothing_for(watch: &mut Watch<Fake>, ms: u64) {
    tokio::select! {
        message = watch.next() => panic!("{:?}", message.map(|message| message.map(|message| seen(&message)))),
        () = sleep(Duration::from_millis(ms)) => {}
    }
}

pub async fn pass(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}
