//! The course of a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasktally::event::HOUR_MS;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};

use super::compare::{compare_all, compare_in_turn};
use super::look::{ask, view};
use super::measure::{Sample, descriptors};
use super::produce::{call, feed, stream};
use super::report::{self, Lives};
use super::source::Source;
use super::world::{Place, RETENTION_MS, World};
use crate::common::calls::Client;
use crate::common::clock::Clock;
use crate::common::events::now_ms;
use crate::common::process::{Launch, Server};
use crate::common::{HANG, eventually_blocking, in_time};

const CALLERS: u64 = 4;
const STREAMERS: u64 = 2;
const VIEWERS: u64 = 30;
const ASKERS: u64 = 3;

/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_secs(15);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// A connection that has just been closed may have one yet; of a run's thousands, one each would be left.
const SPARE_TASKS: u64 = 4;
/// Lives of the first part end after this time, at random.
const LIFE_SECONDS: std::ops::Range<f64> = 5.0..20.0;

/// mimalloc keeps what was freed for a second and longer, so that what is resident is mostly what the last bursts and
/// checkpoints needed; with this it is what is in use. Two runs of one seed, sampled twice a second from the sixth second
/// of each life on: without, quartiles of 85, 95 and 101 MiB and a peak of 128; with it 61, 68 and 74, and 93.
const GIVE_BACK_AT_ONCE: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

/// What a run is like.
pub struct Plan {
    pub seed: u64,
    pub length: Duration,
    /// Seconds of the server's clock in one.
    pub speed: i64,
    pub events_a_second: f64,
    pub binary: Option<PathBuf>,
    /// Between two comparisons.
    pub compare_every: Duration,
    /// Whether it is to tell that nothing grows, for which it must be long enough.
    pub judges_growth: bool,
}

impl Plan {
    pub fn from_environment() -> Plan {
        let setting = |name: &str, default: f64| -> f64 {
            let name = format!("TASKTALLY_SOAK_{name}");
            let text = std::env::var(&name).ok();
            text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
        };
        Plan {
            seed: setting("SEED", (now_ms() % 1_000_000) as f64) as u64,
            length: Duration::from_secs_f64(60.0 * setting("MINUTES", 5.0)),
            speed: setting("SPEED", 120.0) as i64,
            events_a_second: setting("EVENTS", 1_500.0),
            binary: std::env::var_os("TASKTALLY_SOAK_BINARY").map(PathBuf::from),
            compare_every: Duration::from_secs(2),
            judges_growth: true,
        }
    }

    /// Too short for the retention to fill: equality alone.
    pub fn short() -> Plan {
        Plan {
            length: Duration::from_secs(12),
            events_a_second: 500.0,
            compare_every: Duration::from_millis(500),
            judges_growth: false,
            ..Plan::from_environment()
        }
    }

    /// The part of restarts.
    fn restarts(&self) -> Duration {
        self.length.mul_f64(0.2)
    }

    fn life(&self, rng: &mut ChaCha8Rng) -> Duration {
        Duration::from_secs_f64(rng.random_range(LIFE_SECONDS)).min(self.length.mul_f64(0.15))
    }
}

pub struct Run {
    plan: Plan,
    world: Arc<World>,
    runtime: Runtime,
    rng: ChaCha8Rng,
    data_dir: tempfile::TempDir,
    server: Option<Server>,
    loading: Option<JoinHandle<()>>,
    source: Option<Source>,
    begun: Instant,
    begun_ms: i64,
    told: Instant,
    lives: Lives,
    samples: Vec<Sample>,
    /// Descriptors of a server that nobody is connected to.
    bare_descriptors: u64,
    /// Tasks of the runtime that the last life had when it was told to stop.
    tasks: u64,
    seeds: AtomicU64,
}

impl Run {
    pub fn begin(plan: Plan) -> Run {
        println!(
            "soak: {} s at {} times the pace of the clock, {} events a second, seed {}",
            plan.length.as_secs(),
            plan.speed,
            plan.events_a_second,
            plan.seed
        );
        let clock = Clock::new(plan.speed);
        let begun_ms = clock.now_ms();
        let rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let paced = plan.events_a_second / plan.speed as f64;
        let (source, workspaces) = Source::open(plan.seed, begun_ms, paced, ChaCha8Rng::seed_from_u64(plan.seed ^ 1));
        Run {
            world: Arc::new(World::new(clock, workspaces)),
            runtime: Runtime::new().expect("a runtime"),
            rng,
            data_dir: tempfile::tempdir().expect("a directory"),
            server: None,
            loading: None,
            source: Some(source),
            begun: Instant::now(),
            begun_ms,
            told: Instant::now(),
            lives: Lives::default(),
            samples: Vec::new(),
            bare_descriptors: 0,
            tasks: 0,
            seeds: AtomicU64::new(plan.seed << 16),
            plan,
        }
    }

    pub fn carry_out(mut self) {
        self.start();
        self.load();
        while self.begun.elapsed() < self.plan.restarts() {
            let life = self.plan.life(&mut self.rng);
            self.go_on_for(life);
            self.end();
            self.start();
        }
        self.samples.clear();
        let rest = self.plan.length.saturating_sub(self.begun.elapsed());
        self.go_on_for(rest);
        self.leave();
        self.compare("after everybody has left");
        let mut tasks = 0;
        for how in ["TERM", "KILL", "KILL"] {
            self.end_by(how);
            tasks = tasks.max(self.tasks);
            self.start();
            self.compare(&format!("after SIG{how}"));
        }
        self.end_by("TERM");
        println!(
            "  {tasks} tasks after everybody had left the long life, {} in one that hardly anybody saw",
            self.tasks
        );
        assert!(tasks <= self.tasks + SPARE_TASKS, "{tasks} tasks are left, {} at the end of a fresh life", self.tasks);
        report::print(&self.world, &self.lives, &self.samples, self.begun.elapsed());
        if self.plan.judges_growth {
            report::judge(&self.samples);
        }
    }

    fn process(&self) -> u32 {
        self.server().id()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it was started")
    }

    fn start(&mut self) {
        let retention = format!("{RETENTION_MS}ms");
        // Nothing on disk depends on the number of partitions.
        let partitions = self.rng.random_range(1..=4).to_string();
        let launch = Launch::on(self.data_dir.path())
            .with(["--retention", &retention, "--checkpoint-interval", "2s", "--partitions", &partitions])
            .within(self.world.clock.go_on())
            .within([GIVE_BACK_AT_ONCE]);
        let launch = match &self.plan.binary {
            Some(binary) => launch.of(binary),
            None => launch,
        };
        let server = launch.start();
        self.bare_descriptors = descriptors(server.id());
        self.lives.begun += 1;
        let place = Place { life: self.lives.begun, address: server.address.clone() };
        self.server = Some(server);
        self.world.place.send_replace(Some(place));
    }

    /// Ends this life by one of the signals in turn.
    fn end(&mut self) {
        let how = if self.lives.begun.is_multiple_of(3) { "TERM" } else { "KILL" };
        self.end_by(how);
        // A recovery that does not come to its end.
        if self.lives.begun % 4 == 1 {
            self.start();
            self.end_by("KILL");
        }
    }

    fn end_by(&mut self, how: &str) {
        self.world.place.send_replace(None);
        let mut server = self.server.take().expect("it was started");
        server.assert_sound();
        if how == "TERM" {
            server.signal("TERM");
            let status = server.wait();
            assert_eq!(status.code(), Some(0), "log:\n{}", server.log.text());
            // Every task of every connection has ended in time.
            server.logs("stopped");
            let log = server.log.text();
            let tasks = log.rsplit_once("tasks=").expect("it says how many tasks it had").1;
            let tasks = tasks.split(|other: char| !other.is_ascii_digit()).next().expect("a first part");
            self.tasks = tasks.parse().expect("a number");
            self.lives.stopped += 1;
        } else {
            server.kill();
            self.lives.killed += 1;
        }
        self.world.clock.stop();
        assert!(!server.log.contains("panicked"), "log:\n{}", server.log.text());
    }

    fn seed(&self) -> u64 {
        self.seeds.fetch_add(1, Ordering::Relaxed)
    }

    /// Begins everything that is done to the server; it goes on over all its lives.
    fn load(&mut self) {
        let world = self.world.clone();
        let (feeding, batches) = feed(world.clone(), self.source.take().expect("it is begun once"));
        let mut everybody = JoinSet::new();
        let runtime = self.runtime.handle();
        everybody.spawn_on(feeding, runtime);
        for _ in 0..CALLERS {
            everybody.spawn_on(call(world.clone(), batches.clone(), self.seed()), runtime);
        }
        for _ in 0..STREAMERS {
            everybody.spawn_on(stream(world.clone(), batches.clone(), self.seed()), runtime);
        }
        for _ in 0..VIEWERS {
            everybody.spawn_on(view(world.clone(), self.seed()), runtime);
        }
        for _ in 0..ASKERS {
            everybody.spawn_on(ask(world.clone(), self.seed()), runtime);
        }
        everybody.spawn_on(compare_in_turn(world, self.plan.compare_every), runtime);
        self.loading = Some(self.runtime.spawn(async move {
            while let Some(ended) = everybody.join_next().await {
                ended.expect("nobody found anything wrong");
            }
        }));
    }

    /// Lets it run, and takes samples; the first finding ends it.
    fn go_on_for(&mut self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            std::thread::sleep(SAMPLE_EVERY.min(time.saturating_sub(begun.elapsed())));
            self.assert_going_on();
            let hour = (self.world.clock.now_ms() - self.begun_ms) as f64 / HOUR_MS as f64;
            let retained = self.world.retained();
            self.samples.push(Sample::of(self.process(), self.data_dir.path(), hour, retained));
            if self.told.elapsed() >= TELL_EVERY {
                self.told = Instant::now();
                report::progress(
                    &self.world,
                    &self.lives,
                    self.samples.last().expect("just taken"),
                    self.begun.elapsed(),
                );
            }
        }
    }

    fn assert_going_on(&mut self) {
        if self.loading.as_ref().is_some_and(JoinHandle::is_finished) {
            let ended = self.runtime.block_on(self.loading.take().expect("it is there"));
            panic!("the load ended before the run: {ended:?}; log:\n{}", self.server().log.text());
        }
        self.server.as_mut().expect("it was started").assert_sound();
    }

    /// Everybody goes; the server must then hold what it held before anybody came.
    fn leave(&mut self) {
        self.world.over.store(true, Ordering::SeqCst);
        let loading = self.loading.take().expect("it was begun");
        self.runtime.block_on(in_time("everybody goes", loading)).expect("nobody found anything wrong");
        let (process, bare) = (self.process(), self.bare_descriptors);
        let begun = Instant::now();
        let left = loop {
            let left = descriptors(process);
            if left <= bare || begun.elapsed() > HANG {
                break left;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let open = || {
            let links = std::fs::read_dir(format!("/proc/{process}/fd")).expect("the server runs").flatten();
            let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
            targets.map(|target| target.display().to_string()).collect::<Vec<_>>().join("\n")
        };
        assert!(left <= bare, "{left} descriptors are open, {bare} were before anybody came:\n{}", open());
        // Threads that do blocking work end ten seconds after the last of it; checkpoints go on as long as there is news.
        let first = self.samples.first().map_or(u64::MAX, |sample| sample.threads);
        eventually_blocking("the threads are no more than at the start", || {
            (self.server().threads() <= first).then_some(())
        });
    }

    fn compare(&mut self, when: &str) {
        let address = self.server().address.clone();
        let comparing = async {
            let client = Client::to(self.server()).await;
            compare_all(&self.world, &client, &address).await;
        };
        self.runtime.block_on(in_time("all is compared", comparing));
        println!("equal to the model {when}");
    }
}
