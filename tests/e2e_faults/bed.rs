//! A server on a faulty disk, and what is known of what it took.

use std::time::Instant;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasktally::api::proto::v1;
use tasktally::journal::Journal;
use tempfile::TempDir;
use tokio::task::block_in_place;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::super::DEATH;
use crate::common::calls::Client;
use crate::common::events::{Centre, Figures, at, now_ms};
use crate::common::process::{Launch, Server};
use crate::common::{HANG, eventually, in_time};
use crate::faults::{Faults, scratch};

pub const BATCH: u64 = 40;

/// So many of the points, the first and the last among them, or as many as were asked for.
pub fn points(mut all: Vec<u64>, default: usize) -> Vec<u64> {
    let most = match std::env::var("TASKTALLY_FAULTS_POINTS").as_deref() {
        Ok("all") => return all,
        Ok(number) => number.parse().expect("TASKTALLY_FAULTS_POINTS is a number or `all`"),
        Err(_) => default,
    };
    let asked = std::env::var("TASKTALLY_FAULTS_SEED").ok();
    let seed = asked.map_or_else(|| rand::rng().random(), |seed| seed.parse().expect("a number"));
    println!("TASKTALLY_FAULTS_SEED={seed} repeats this run's draws");
    let ends = [all.first().copied(), all.last().copied()];
    all.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut points: Vec<u64> = ends.into_iter().flatten().chain(all).collect();
    points.truncate(most);
    points.sort_unstable();
    points.dedup();
    points
}

pub struct Bed {
    pub dir: TempDir,
    pub faults: Faults,
    pub server: Server,
    pub client: Client,
    centre: Centre,
    /// Events in a batch; a row each.
    pub batch: u64,
    /// Events before `from` are too old for any answer.
    from: u64,
    /// Events `0..taken` were acknowledged.
    taken: u64,
    /// Whether nobody knows of the batch after these.
    is_open: bool,
    arguments: Vec<String>,
}

fn launch(dir: &TempDir, faults: &Faults, arguments: &[String]) -> Launch {
    Launch::on(dir.path()).with(arguments).within(faults.environment())
}

impl Bed {
    pub async fn new(arguments: &[&str]) -> Bed {
        Bed::with_events_until(now_ms(), arguments).await
    }

    /// All of whose events lie in the ten minutes before a moment.
    pub async fn with_events_until(end_ms: i64, arguments: &[&str]) -> Bed {
        let dir = scratch();
        let faults = Faults::of(dir.path());
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let server = block_in_place(|| launch(&dir, &faults, &arguments).start());
        let client = Client::to(&server).await;
        let centre = Centre { end_ms, workspaces: 1 };
        let (batch, from, taken, is_open) = (BATCH, 0, 0, false);
        Bed { dir, faults, server, client, centre, batch, from, taken, is_open, arguments }
    }

    fn batch(&self) -> Vec<v1::Event> {
        self.batch_at(self.taken)
    }

    fn batch_at(&self, from: u64) -> Vec<v1::Event> {
        (from..from + self.batch).map(|number| self.centre.event(number)).collect()
    }

    /// From here on events lie in the ten minutes before this moment, and no answer counts the earlier ones.
    pub fn move_on(&mut self, end_ms: i64) {
        self.centre.end_ms = end_ms;
        self.from = self.taken;
    }

    /// A batch that must be taken as new.
    pub async fn accept(&mut self) {
        in_time("a batch is taken", self.client.accept(self.batch())).await;
        self.taken += self.batch;
    }

    /// Batches until one meets the fault; nobody knows of it if it was not taken.
    pub async fn accept_until_hit(&mut self) {
        while self.faults.hit() == 0 && !self.is_open {
            match in_time("an answer", self.client.send(self.batch())).await {
                Ok(answer) => {
                    assert_eq!((answer.accepted, answer.duplicates), (self.batch as i64, 0));
                    self.taken += self.batch;
                }
                Err(_) => self.is_open = true,
            }
        }
    }

    /// A batch that must not be taken; whether anything stayed of it shows in the next one, which is the same.
    pub async fn refused(&self) -> Status {
        in_time("an answer", self.client.send(self.batch())).await.expect_err("nothing can be written")
    }

    /// Likewise, unless the batch needed fewer calls than others and met no fault: then it must be taken.
    pub async fn refused_if_hit(&mut self) -> Option<Status> {
        match in_time("an answer", self.client.send(self.batch())).await {
            Ok(answer) => {
                assert_eq!((answer.accepted, self.faults.hit()), (self.batch as i64, 0));
                self.taken += self.batch;
                None
            }
            Err(status) => Some(status),
        }
    }

    pub async fn figures(&self) -> Figures {
        let request = v1::GetStatisticsRequest {
            workspace_sid: self.centre.workspace(0),
            start_time: Some(at(self.centre.end_ms - 601_000)),
            ..v1::GetStatisticsRequest::default()
        };
        let answer = in_time("statistics", self.client.statistics().get_statistics(request)).await;
        Figures::told(&answer.expect("reads go on").into_inner())
    }

    fn expected(&self, events: u64) -> Figures {
        self.centre.figures(self.from..events).remove(0)
    }

    /// All of what was acknowledged is there, and nothing else.
    pub async fn assert_exact(&self, what: &str) {
        assert_eq!(self.figures().await, self.expected(self.taken), "{what}; log:\n{}", self.server.log.text());
    }

    pub fn assert_sound(&mut self) {
        self.server.assert_sound();
    }

    pub async fn health(&self) -> [ServingStatus; 5] {
        let mut told = [ServingStatus::Unknown; 5];
        let services = ["", "tasktally.v1.IngestService", "tasktally.v1.StatisticsService", "readiness", "liveness"];
        for (service, told) in services.iter().zip(&mut told) {
            *told = self.client.health_of(service).await.unwrap();
        }
        told
    }

    pub async fn ingest_is_not_serving(&self) {
        use ServingStatus::{NotServing, Serving};
        eventually("ingest alone is not serving", async || {
            (self.health().await == [NotServing, NotServing, Serving, Serving, Serving]).then_some(())
        })
        .await;
    }

    pub async fn serves_again(&self) {
        eventually("it serves again", async || (self.health().await == [ServingStatus::Serving; 5]).then_some(()))
            .await;
    }

    /// Waits for one more checkpoint.
    pub async fn checkpoint_is_written(&self) {
        let written = || self.server.log.text().matches("wrote a checkpoint").count();
        let before = written();
        eventually("a checkpoint", async || (written() > before).then_some(())).await;
    }

    pub async fn logs(&self, text: &str) {
        eventually(&format!("{text:?} is logged"), async || self.server.log.contains(text).then_some(())).await;
    }

    /// A batch that must not be acknowledged, and that the process must not survive.
    /// Nor is any after it.
    pub async fn dies_of_a_batch(&mut self, what: &str) {
        let (client, batch, later) = (self.client.clone(), self.batch(), self.batch_at(self.taken + self.batch));
        let (ended, is_ended) = tokio::sync::watch::channel(false);
        let sent = tokio::spawn(async move {
            let first = client.send(batch).await;
            let mut after = 0;
            while after == 0 && matches!(is_ended.has_changed(), Ok(false)) {
                after += usize::from(client.send(later.clone()).await.is_ok());
            }
            (first, after)
        });
        self.is_open = true;
        self.dies(what).await;
        ended.send_replace(true);
        let (first, after) = in_time("an answer", sent).await.unwrap();
        let status = first.expect_err("what is not known to be on the disk is not acknowledged");
        assert!(!status.message().is_empty(), "{what}: {status:?}");
        assert_eq!(after, 0, "{what}: nothing more is acknowledged");
    }

    /// Whoever watches health hears of it; then the process ends, says why, and its exit code is not that of success.
    pub async fn dies(&mut self, what: &str) {
        let request = HealthCheckRequest { service: "tasktally.v1.IngestService".to_owned() };
        let mut watch = self.client.health().watch(request).await.ok().map(tonic::Response::into_inner);
        let started = Instant::now();
        let mut last = None;
        while let Some(watch) = &mut watch
            && let Ok(Some(told)) = in_time("health", watch.message()).await
        {
            last = Some(told.status());
        }
        let status = loop {
            if let Some(status) = self.server.has_ended() {
                break status;
            }
            assert!(started.elapsed() < HANG, "{what}: it lives on; log:\n{}", self.server.log.text());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        if let Some(took) = self.faults.took_to_end() {
            println!("{what}: the process ended {took:?} after the first fault");
            assert!(took < DEATH, "{what}: {took:?}; log:\n{}", self.server.log.text());
        } else {
            assert_eq!(self.faults.hit(), 0, "{what}: the shim saw no end of the process");
        }
        assert_eq!(status.code(), Some(1), "{what}: log:\n{}", self.server.log.text());
        assert!(matches!(last, Some(ServingStatus::NotServing) | None), "{what}: {last:?}");
        self.logs("the journal is lost").await;
        assert!(!self.server.log.contains("panicked"), "{what}: log:\n{}", self.server.log.text());
    }

    /// Everything that was acknowledged is there; the open batch is there whole or not at all, and is taken now.
    pub async fn restart_after_death(&mut self) {
        self.start().await;
        if std::mem::take(&mut self.is_open) {
            let found = self.figures().await;
            let (without, with) = (self.expected(self.taken), self.expected(self.taken + self.batch));
            assert!(found == without || found == with, "found {found:?}\nwithout {without:?}\nwith {with:?}");
            let answer = in_time("an answer", self.client.send(self.batch())).await.unwrap();
            let counts = if found == with { (0, self.batch as i64) } else { (self.batch as i64, 0) };
            assert_eq!((answer.accepted, answer.duplicates), counts);
            self.taken += self.batch;
        }
        self.assert_exact("after a death").await;
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.server.signal("TERM");
        let status = block_in_place(|| self.server.wait());
        assert_eq!(status.code(), Some(0), "log:\n{}", self.server.log.text());
    }

    /// Ends it in order and starts it again, with other arguments where some are given.
    pub async fn restart(&mut self, arguments: &[&str]) {
        self.stop();
        if arguments.is_empty() { self.start().await } else { self.start_with(arguments).await }
    }

    pub async fn start_with(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
        self.start().await;
    }

    /// Starts on an empty folder.
    pub async fn begin_anew(&mut self) {
        (self.from, self.taken, self.is_open) = (0, 0, false);
        self.start().await;
    }

    pub fn launch(&self) -> Launch {
        launch(&self.dir, &self.faults, &self.arguments)
    }

    /// Rows of its journal, blocks being one row each; after its end, which must have been in order.
    pub fn rows(&self) -> u64 {
        let (journal, _) = Journal::open(self.dir.path(), "a test").expect("the journal opens");
        journal.stats().rows
    }

    /// The log and what is carried over must do without them.
    pub fn remove_checkpoints(&self) {
        for entry in std::fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap) {
            if entry.file_name().to_string_lossy().starts_with("checkpoint-") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    pub async fn start(&mut self) {
        self.server = block_in_place(|| self.launch().start());
        self.client = Client::to(&self.server).await;
    }
}
