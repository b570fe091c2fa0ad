//! The real binary, killed with SIGKILL at random moments under load, and started again on what it left.
//!
//! After each restart: it serves; every acknowledged event is there; none is there twice; what was not acknowledged is
//! there once or not at all, and exactly once after it was sent again; no revision has gone back.
//!
//! `TASKTALLY_CRASH_ROUNDS` sets the number of rounds, `TASKTALLY_CRASH_SEED` repeats a run.

mod common;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use common::calls::Client;
use common::events::{Centre, Figures, at, now_ms};
use common::process::{Launch, Server};
use common::{HANG, in_time};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasktally::api::proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic_health::pb::health_check_response::ServingStatus;

const WORKSPACES: u64 = 3;
const UNARY_CALLERS: u64 = 4;
const STREAM_CALLERS: u64 = 2;
/// Requests of one stream that wait for their answers.
const STREAM_WINDOW: usize = 4;
/// Events that a check sends in one call.
const CHECK_BATCH: usize = 4_000;

/// What the callers know, over all rounds: events `0 .. sent` were sent at least once.
#[derive(Default)]
struct Known {
    acknowledged: Vec<bool>,
}

impl Known {
    fn sent(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    fn numbers(&self, from: u64, acknowledged: bool) -> Vec<u64> {
        (from..self.sent()).filter(|&number| self.acknowledged[number as usize] == acknowledged).collect()
    }
}

/// What all callers of all rounds share.
#[derive(Clone)]
struct Shared {
    centre: Centre,
    known: Arc<Mutex<Known>>,
    /// The highest revision that anybody has seen, by workspace.
    floors: Arc<[AtomicI64; WORKSPACES as usize]>,
    /// From here on a failed call is no fault of the server.
    killing: Arc<AtomicBool>,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// Takes the next numbers; they count as sent from here on.
    fn next(&self, count: usize) -> Vec<u64> {
        let mut known = self.known();
        let from = known.sent();
        known.acknowledged.resize(from as usize + count, false);
        (from..from + count as u64).collect()
    }

    fn request(&self, numbers: &[u64]) -> v1::IngestEventsRequest {
        v1::IngestEventsRequest { events: numbers.iter().map(|&number| self.centre.event(number)).collect() }
    }

    /// Notes an answer, and checks what can be known of it while others send, too.
    fn note(&self, numbers: &[u64], were_acknowledged: bool, answer: &v1::IngestEventsResponse) {
        assert_eq!(answer.rejected, [], "nothing that is sent may be refused");
        assert_eq!(answer.accepted + answer.duplicates, numbers.len() as i64);
        if were_acknowledged {
            assert_eq!(answer.accepted, 0, "acknowledged before, so duplicates: {numbers:?}");
        }
        let mut known = self.known();
        for &number in numbers {
            known.acknowledged[number as usize] = true;
            let workspace = self.centre.workspace_of(number) as usize;
            self.floors[workspace].fetch_max(answer.revision, Ordering::SeqCst);
        }
    }

    /// The statistics of a workspace, whose revision must not be below any that was seen before the call.
    async fn read(&self, client: &Client, workspace: u64) -> Result<v1::WorkspaceStatistics, tonic::Status> {
        let floor = self.floors[workspace as usize].load(Ordering::SeqCst);
        let request = v1::GetStatisticsRequest {
            workspace_sid: self.centre.workspace(workspace),
            start_time: Some(at(self.centre.end_ms - 3_600_000)),
            ..v1::GetStatisticsRequest::default()
        };
        let statistics = client.statistics().get_statistics(request).await?.into_inner();
        let revision = statistics.realtime.as_ref().unwrap().revision;
        assert_eq!(revision, statistics.cumulative.as_ref().unwrap().revision);
        assert!(revision >= floor, "revision {revision} after {floor}");
        self.floors[workspace as usize].fetch_max(revision, Ordering::SeqCst);
        Ok(statistics)
    }

    /// The next batch of a caller: new events most of the time, else some that were acknowledged before.
    fn batch(&self, rng: &mut ChaCha8Rng) -> (Vec<u64>, bool) {
        let most = if rng.random_bool(0.05) { 300 } else { 16 };
        let count = rng.random_range(1..=most);
        let known = self.known();
        if rng.random_bool(0.2) && known.sent() > 0 {
            let from = rng.random_range(0..known.sent());
            let to = (from + count as u64).min(known.sent());
            let numbers: Vec<u64> = (from..to).filter(|&number| known.acknowledged[number as usize]).collect();
            return (numbers, true);
        }
        drop(known);
        let mut numbers = self.next(count);
        numbers.shuffle(rng);
        (numbers, false)
    }
}

/// Sends one batch after the other until the server is gone.
async fn call(shared: Shared, client: Client, mut rng: ChaCha8Rng) {
    loop {
        let (numbers, were_acknowledged) = shared.batch(&mut rng);
        let outcome = client.ingest().ingest_events(shared.request(&numbers)).await;
        match outcome {
            Ok(answer) => shared.note(&numbers, were_acknowledged, answer.get_ref()),
            Err(status) => return assert!(shared.killing.load(Ordering::SeqCst), "{status:?}"),
        }
        let workspace = rng.random_range(0..WORKSPACES);
        // A workspace that no answer has named yet may be unknown.
        let is_known = shared.floors[workspace as usize].load(Ordering::SeqCst) > 0;
        if is_known
            && rng.random_bool(0.2)
            && let Err(status) = shared.read(&client, workspace).await
        {
            return assert!(shared.killing.load(Ordering::SeqCst), "{status:?}");
        }
    }
}

/// Likewise over one stream, with several requests on their way.
async fn stream(shared: Shared, client: Client, mut rng: ChaCha8Rng) {
    let (requests, there) = mpsc::channel(STREAM_WINDOW);
    let mut waiting = VecDeque::new();
    let mut answers = match client.ingest().stream_events(ReceiverStream::new(there)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return assert!(shared.killing.load(Ordering::SeqCst), "{status:?}"),
    };
    loop {
        while waiting.len() < STREAM_WINDOW {
            let (numbers, were_acknowledged) = shared.batch(&mut rng);
            // A stream that has ended says so to whoever reads its answers.
            let _ = requests.send(shared.request(&numbers)).await;
            waiting.push_back((numbers, were_acknowledged));
        }
        match answers.message().await {
            Ok(Some(answer)) => {
                let (numbers, were_acknowledged) = waiting.pop_front().unwrap();
                shared.note(&numbers, were_acknowledged, &answer);
            }
            Ok(None) => panic!("the stream ended well while requests wait for answers"),
            Err(status) => return assert!(shared.killing.load(Ordering::SeqCst), "{status:?}"),
        }
    }
}

async fn load(shared: Shared, server_url: String, seed: u64) {
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..UNARY_CALLERS + STREAM_CALLERS {
        let endpoint = tonic::transport::Endpoint::from_shared(server_url.clone()).unwrap();
        let (shared, rng) = (shared.clone(), ChaCha8Rng::seed_from_u64(seed ^ number << 32));
        callers.spawn(async move {
            let Ok(channel) = endpoint.connect().await else {
                return assert!(shared.killing.load(Ordering::SeqCst), "the server is reachable");
            };
            let client = Client { channel };
            if number < UNARY_CALLERS { call(shared, client, rng).await } else { stream(shared, client, rng).await }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("a caller found nothing wrong");
    }
}

/// When a server dies.
#[derive(Clone, Copy, Debug)]
enum Moment {
    After(Duration),
    /// As soon as a checkpoint is being written, or has just been.
    Checkpoint,
}

fn checkpoints(data_dir: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(data_dir).unwrap().map(|entry| entry.unwrap().path());
    let mut listed: Vec<PathBuf> = listed.filter(|path| path.to_string_lossy().contains("checkpoint-")).collect();
    listed.sort();
    listed
}

/// Answers whether a checkpoint was only half written when the moment came.
fn wait_for(moment: Moment, data_dir: &Path) -> bool {
    let Moment::After(delay) = moment else {
        let before = checkpoints(data_dir);
        let started = Instant::now();
        loop {
            let now = checkpoints(data_dir);
            if now != before || started.elapsed() > Duration::from_secs(5) {
                return now.iter().any(|path| path.extension().is_some_and(|extension| extension == "tmp"));
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    };
    std::thread::sleep(delay);
    false
}

/// Starts a server and kills it before it has recovered; a delay that proves too long is halved. Answers whether it came
/// to that: what takes no time at all cannot be interrupted.
fn die_recovering(launch: &Launch, rng: &mut impl Rng) -> bool {
    let mut longest_us = 60_000;
    for _ in 0..20 {
        let mut server = launch.spawn();
        let started = Instant::now();
        while !server.log.contains("listening") {
            assert!(started.elapsed() < HANG, "the port never opened; log:\n{}", server.log.text());
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..=longest_us)));
        server.kill();
        if !server.out.contains("listens on") {
            return true;
        }
        longest_us /= 2;
    }
    false
}

/// What must hold after a restart, with nobody else sending. Events before `from` were checked in earlier rounds.
async fn check(shared: &Shared, server: &Server, from: u64) {
    let client = Client::to(server).await;
    for service in ["", "tasktally.v1.IngestService", "tasktally.v1.StatisticsService", "readiness", "liveness"] {
        assert_eq!(client.health_of(service).await.unwrap(), ServingStatus::Serving, "{service:?}");
    }
    let (acknowledged, unknown, sent) = {
        let known = shared.known();
        (known.numbers(0, true), known.numbers(from, false), known.sent())
    };
    assert_eq!(acknowledged.len() + unknown.len(), sent as usize, "what earlier rounds left open was settled there");
    let least = shared.centre.figures(acknowledged.iter().copied());
    let most = shared.centre.figures(0..sent);
    for workspace in 0..WORKSPACES {
        if least[workspace as usize] == Figures::default() {
            continue; // maybe nothing has named it yet
        }
        let found = Figures::told(&shared.read(&client, workspace).await.unwrap());
        let (least, most) = (least[workspace as usize].growing(), most[workspace as usize].growing());
        let is_between = (0..found.growing().len()).all(|i| (least[i]..=most[i]).contains(&found.growing()[i]));
        assert!(is_between, "acknowledged {least:?}\nfound {found:?}\nsent {most:?}");
    }
    let recent: Vec<u64> = acknowledged.into_iter().filter(|&number| number >= from).collect();
    resend(shared, &client, &recent, true).await;
    resend(shared, &client, &unknown, false).await;
    assert_exact(shared, &client).await;
}

async fn resend(shared: &Shared, client: &Client, numbers: &[u64], were_acknowledged: bool) {
    for numbers in numbers.chunks(CHECK_BATCH) {
        let answer = client.ingest().ingest_events(shared.request(numbers)).await.unwrap();
        shared.note(numbers, were_acknowledged, answer.get_ref());
    }
}

/// Everything that was sent is there, once.
async fn assert_exact(shared: &Shared, client: &Client) {
    let expected = shared.centre.figures(0..shared.known().sent());
    for (workspace, expected) in expected.iter().enumerate().filter(|(_, figures)| **figures != Figures::default()) {
        let found = Figures::told(&shared.read(client, workspace as u64).await.unwrap());
        assert_eq!(&found, expected);
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn moment(round: u64, rng: &mut impl Rng) -> Moment {
    if round % 3 == 1 { Moment::Checkpoint } else { Moment::After(Duration::from_millis(rng.random_range(20..1_500))) }
}

#[test]
fn a_server_killed_at_any_moment_keeps_what_it_acknowledged_once() {
    let rounds = setting("TASKTALLY_CRASH_ROUNDS", 8);
    let seed = setting("TASKTALLY_CRASH_SEED", now_ms() as u64);
    println!("TASKTALLY_CRASH_SEED={seed} repeats this run's draws");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let data_dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shared = Shared {
        centre: Centre { end_ms: now_ms(), workspaces: WORKSPACES },
        known: Arc::default(),
        floors: Arc::default(),
        killing: Arc::default(),
    };
    let (mut checked, mut half_written, mut recovering) = (0, 0, 0);
    // Killed while there is nothing yet but a directory that is being made.
    for _ in 0..3 {
        die_recovering(&Launch::on(data_dir.path()), &mut rng);
    }
    for round in 0..rounds {
        // Nothing on disk depends on the number of partitions.
        let partitions = rng.random_range(1..=4).to_string();
        let launch = Launch::on(data_dir.path()).with(["--checkpoint-interval", "1s", "--partitions", &partitions]);
        let mut server = launch.start();
        shared.killing.store(false, Ordering::SeqCst);
        let loading = runtime.spawn(load(shared.clone(), server.url(), rng.random()));
        half_written += u64::from(wait_for(moment(round, &mut rng), data_dir.path()));
        shared.killing.store(true, Ordering::SeqCst);
        assert!(!loading.is_finished(), "the load goes on until the kill");
        server.kill();
        assert!(!server.log.contains("panicked"), "log:\n{}", server.log.text());
        runtime.block_on(in_time("the callers notice", loading)).unwrap();
        if round % 2 == 0 {
            recovering += u64::from(die_recovering(&launch, &mut rng));
        }
        let server = launch.start();
        runtime.block_on(in_time("the check of a round", check(&shared, &server, checked)));
        checked = shared.known().sent();
        if round % 4 == 3 {
            server.stop();
        }
    }
    let server = Launch::on(data_dir.path()).start();
    runtime.block_on(async {
        let client = Client::to(&server).await;
        assert_exact(&shared, &client).await;
        let all: Vec<u64> = (0..checked).collect();
        resend(&shared, &client, &all, true).await;
        assert_exact(&shared, &client).await;
    });
    server.stop();
    println!(
        "{rounds} kills under load ({half_written} with a checkpoint half written), {recovering} while recovering; \
         {checked} events"
    );
    assert!(checked > 0, "there was load");
    assert!(recovering > 0, "a recovery was interrupted");
}
