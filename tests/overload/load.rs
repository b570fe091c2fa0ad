//! Calls of many events, made cheaply: a batch is encoded once, and the numbers of its events are changed in its bytes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tasktally::api::proto::v1;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::common::calls::Client;
use crate::common::details::told;
use crate::common::events::{created, now_ms, sid};
use crate::common::process::Server;
use crate::common::{in_time, raw};

const CONNECTIONS: usize = 8;
pub const WORKSPACES: u64 = 4;
const SMALL_EVENTS: usize = 10;
const LARGE_EVENTS: usize = 1_000;
/// Every so manyth call is a large one.
const LARGE_EVERY: u64 = 10;
/// Callers who wait for their answers.
const CALLERS: usize = 32;
/// Calls under way at a time, so that a server that does not answer does not fill the generator's memory.
const MOST_UNDER_WAY: usize = 4_000;

/// A request in its frame, and where in it the numbers of its events are.
struct Batch {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
    /// Where the number of the task of the first event is: it is a new one in each batch, so that figures change.
    task: usize,
}

impl Batch {
    fn of(workspace: &str, events: usize) -> Batch {
        let marked: Vec<u64> = (0..events as u64).map(|event| 0xfeed_0000_0000 + event).collect();
        let event = |(task, mark): (usize, &u64)| {
            let mut event = created(task as u64, workspace, now_ms(), ["voice", "chat", "sms"][task % 3]);
            event.sid = sid("EV", *mark);
            if task == 0 {
                event.task.as_mut().unwrap().sid = sid("WT", *mark);
            }
            event
        };
        let request = v1::IngestEventsRequest { events: marked.iter().enumerate().map(event).collect() };
        let bytes = raw::framed(&request.encode_to_vec(), false).to_vec();
        let mut numbers = Vec::with_capacity(events);
        for mark in marked {
            let (sid, from) = (sid("EV", mark), numbers.last().copied().unwrap_or(0));
            let found = bytes[from..].windows(sid.len()).position(|window| window == sid.as_bytes()).unwrap();
            // The last 16 digits are the number.
            numbers.push(from + found + sid.len() - 16);
        }
        let task = sid("WT", 0xfeed_0000_0000);
        let task = bytes.windows(task.len()).position(|window| window == task.as_bytes()).unwrap() + task.len() - 16;
        Batch { bytes, numbers, task }
    }

    fn numbered(&self, first: u64) -> Bytes {
        let mut bytes = self.bytes.clone();
        for (number, at) in (first..).zip(&self.numbers).chain([(first + (1 << 40), &self.task)]) {
            for (digit, byte) in bytes[*at..*at + 16].iter_mut().enumerate() {
                *byte = b"0123456789abcdef"[(number >> (60 - 4 * digit)) as usize & 15];
            }
        }
        bytes.into()
    }
}

/// What became of calls so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Events.
    pub offered: u64,
    pub acknowledged: u64,
    /// Calls that were taken, small and large ones.
    pub small: u64,
    pub large: u64,
    pub refused: u64,
    pub held_back: u64,
}

impl Tally {
    pub fn since(&self, before: &Tally) -> Tally {
        Tally {
            offered: self.offered - before.offered,
            acknowledged: self.acknowledged - before.acknowledged,
            small: self.small - before.small,
            large: self.large - before.large,
            refused: self.refused - before.refused,
            held_back: self.held_back - before.held_back,
        }
    }
}

pub struct Load {
    channels: Vec<Channel>,
    small: Vec<Batch>,
    large: Vec<Batch>,
    next_event: AtomicU64,
    next_call: AtomicU64,
    under_way: AtomicUsize,
    tally: Mutex<Tally>,
    /// After how long a refusal came.
    refusals: Mutex<Vec<Duration>>,
}

impl Load {
    pub async fn on(server: &Server) -> Arc<Load> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(Client::to(server).await.channel);
        }
        let batches = |events| (1..=WORKSPACES).map(|number| Batch::of(&sid("WS", number), events)).collect();
        let load = Arc::new(Load {
            channels,
            small: batches(SMALL_EVENTS),
            large: batches(LARGE_EVENTS),
            next_event: AtomicU64::new(1),
            next_call: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            tally: Mutex::default(),
            refusals: Mutex::default(),
        });
        load.some(false, WORKSPACES).await;
        load
    }

    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap().clone()
    }

    pub fn refusals(&self) -> Vec<Duration> {
        self.refusals.lock().unwrap().clone()
    }

    pub fn forget_refusals(&self) {
        self.refusals.lock().unwrap().clear();
    }

    /// Callers who each wait for an answer before they call again.
    pub async fn closed(self: &Arc<Load>, length: Duration) {
        let until = Instant::now() + length;
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let load = self.clone();
            callers.spawn(async move {
                while Instant::now() < until {
                    let number = load.next_call.fetch_add(1, Relaxed);
                    load.send(number, number.is_multiple_of(LARGE_EVERY)).await;
                }
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
    }

    /// Calls at so many events a second, answered or not; returns when all are answered.
    pub async fn open(self: &Arc<Load>, events_a_second: f64, length: Duration) {
        let a_round = LARGE_EVENTS + (LARGE_EVERY as usize - 1) * SMALL_EVENTS;
        let calls_a_second = events_a_second / (a_round as f64 / LARGE_EVERY as f64);
        let (started, mut due) = (Instant::now(), 0);
        let room = Arc::new(Semaphore::new(MOST_UNDER_WAY));
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        while started.elapsed() < length {
            ticks.tick().await;
            let wanted = (started.elapsed().as_secs_f64() * calls_a_second) as u64;
            for number in due..wanted {
                let Ok(permit) = room.clone().try_acquire_owned() else {
                    self.tally.lock().unwrap().held_back += 1;
                    continue;
                };
                let load = self.clone();
                tokio::spawn(async move {
                    load.send(number, number.is_multiple_of(LARGE_EVERY)).await;
                    drop(permit);
                });
            }
            due = wanted;
        }
        let all = in_time("the answers to all calls", room.acquire_many(MOST_UNDER_WAY as u32)).await;
        drop(all.unwrap());
    }

    /// So many calls, a few at a time.
    pub async fn some(self: &Arc<Load>, is_large: bool, calls: u64) {
        let mut under_way = JoinSet::new();
        for number in 0..calls {
            if under_way.len() >= 4 {
                under_way.join_next().await.unwrap().unwrap();
            }
            let load = self.clone();
            under_way.spawn(async move { load.send(number, is_large).await });
        }
        while let Some(ended) = under_way.join_next().await {
            ended.unwrap();
        }
    }

    /// Whether it was taken.
    pub async fn send_one(&self, is_large: bool) -> bool {
        self.send(self.next_call.fetch_add(1, Relaxed), is_large).await
    }

    async fn send(&self, number: u64, is_large: bool) -> bool {
        let batches = if is_large { &self.large } else { &self.small };
        let batch = &batches[(number / LARGE_EVERY + number) as usize % batches.len()];
        let events = batch.numbers.len() as u64;
        let first = self.next_event.fetch_add(events, Relaxed);
        self.tally.lock().unwrap().offered += events;
        let channel = self.channels[self.under_way.fetch_add(1, Relaxed) % CONNECTIONS].clone();
        let body = raw::whole_body(batch.numbered(first));
        let started = Instant::now();
        let answer = raw::call(channel, raw::INGEST, None, body).await;
        let took = started.elapsed();
        let mut tally = self.tally.lock().unwrap();
        match answer {
            Ok(answer) => {
                let answer = v1::IngestEventsResponse::decode(answer).unwrap();
                assert_eq!((answer.accepted as u64, answer.rejected.len()), (events, 0), "{answer:?}");
                tally.acknowledged += events;
                if is_large {
                    tally.large += 1
                } else {
                    tally.small += 1
                }
                true
            }
            Err(status) => {
                assert_refusal(&status);
                tally.refused += 1;
                drop(tally);
                self.refusals.lock().unwrap().push(took);
                false
            }
        }
    }
}

/// Every refusal says by which bound, and when to come back.
fn assert_refusal(status: &Status) {
    let told = told(status);
    assert_eq!((told.code, told.reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"), "{told:?}");
    assert!(["max_ingest_bytes", "max_queued_events"].contains(&told.metadata("limit")), "{told:?}");
    assert!(told.retry_after.is_some_and(|after| after > Duration::ZERO), "{told:?}");
}
