//! Those who only look while others send: watchers, and a caller of questions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tasktally::api::proto::v1;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use crate::common::calls::{Client, next, quiet_watch, since};
use crate::common::events::{at, length, now_ms, sid};
use crate::common::process::Server;
use crate::load::WORKSPACES;

/// Median and 99th percentile.
pub fn percentiles(mut latencies: Vec<Duration>) -> (Duration, Duration) {
    latencies.sort_unstable();
    let at = |part: f64| latencies.get((latencies.len() as f64 * part) as usize).copied().unwrap_or_default();
    (at(0.5), at(0.99))
}

/// They read all that they are sent, once a second each.
pub struct Watchers {
    heard: Arc<AtomicU64>,
    all: JoinSet<()>,
}

impl Watchers {
    pub async fn begin(server: &Server, count: usize) -> Watchers {
        let (heard, mut all) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(Client::to(server).await);
        }
        for number in 0..count {
            let request = v1::WatchRealtimeRequest {
                min_interval: Some(length(Duration::from_secs(1))),
                ..quiet_watch(&sid("WS", 1 + number as u64 % WORKSPACES))
            };
            let mut watch = clients[number % clients.len()].watch(request).await.unwrap();
            next(&mut watch).await;
            let heard = heard.clone();
            all.spawn(async move {
                loop {
                    watch.message().await.unwrap().expect("the watch goes on");
                    heard.fetch_add(1, Relaxed);
                }
            });
        }
        Watchers { heard, all }
    }

    pub fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    /// That none of them had to go.
    pub fn end(mut self) {
        if let Some(ended) = self.all.try_join_next() {
            ended.unwrap();
        }
        self.all.abort_all();
    }
}

#[derive(Debug)]
pub struct Asked {
    pub count: usize,
    #[expect(dead_code, reason = "people read it, as Debug prints it")]
    pub median: Duration,
    pub p99: Duration,
}

/// Asks one question after the other, on a connection and a thread of its own, of figures that events change all the
/// time: what is measured is the server, not what else the generator has to do.
pub struct Questions {
    took: Arc<Mutex<Vec<Duration>>>,
    ended: Arc<AtomicBool>,
    asking: JoinHandle<()>,
}

impl Questions {
    pub fn begin(server: &Server) -> Questions {
        let (took, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let asking = {
            let (took, ended, endpoint) = (took.clone(), ended.clone(), Endpoint::from_shared(server.url()).unwrap());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            std::thread::spawn(move || runtime.block_on(ask(endpoint, &took, &ended)))
        };
        Questions { took, ended, asking }
    }

    /// The questions since the last time.
    pub fn taken(&self) -> Asked {
        let took = std::mem::take(&mut *self.took.lock().unwrap());
        let count = took.len();
        let (median, p99) = percentiles(took);
        Asked { count, median, p99 }
    }

    /// That every question had an answer.
    pub fn end(self) {
        self.ended.store(true, Relaxed);
        self.asking.join().unwrap();
    }
}

async fn ask(endpoint: Endpoint, took: &Mutex<Vec<Duration>>, ended: &AtomicBool) {
    let client = Client::at(endpoint).await;
    for number in 0_u64.. {
        if ended.load(Relaxed) {
            return;
        }
        let (workspace, started) = (sid("WS", 1 + number % WORKSPACES), Instant::now());
        match number % 8 / 4 {
            0 => drop(client.realtime(&workspace, "").await.unwrap()),
            _ => drop(client.cumulative(since(&workspace, at(now_ms() - 600_000))).await.unwrap()),
        }
        took.lock().unwrap().push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
