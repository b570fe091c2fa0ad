//! `tasktally bench`: a load program that needs nothing from elsewhere.
//!
//! [`service`] starts what is measured, `bare.rs` is what it is compared with, `load.rs` drives both with the events of
//! `events.rs`, `watching.rs` looks at how soon a watcher sees them, and `report.rs` says what it came to. Every answer of
//! an ingest is looked at: figures of refused events would be figures of something else.

pub mod args;
#[doc(hidden)] // open for benches/service, likewise `load`
pub mod bare;
mod events;
#[doc(hidden)]
pub mod load;
mod report;
mod service;
mod watching;

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::api::proto::v1::{GetCumulativeRequest, GetRealtimeRequest, IngestEventsResponse};
use crate::cli::args::Output;
use crate::cli::client::now_ms;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::progress::Progress;
use crate::limits;
use args::BenchArgs;
use events::Events;
use load::{Client, Run};
use report::{Figures, Measurement, Report};
use service::{Home, Service};

const INGEST: &str = "/tasktally.v1.IngestService/IngestEvents";
const REALTIME: &str = "/tasktally.v1.StatisticsService/GetRealtime";
const CUMULATIVE: &str = "/tasktally.v1.StatisticsService/GetCumulative";
const THRESHOLDS: [i32; 8] = [5, 30, 60, 120, 300, 600, 1800, 7200];
/// Minutes of the interval, and thresholds.
const QUESTIONS: [(i32, usize); 4] = [(15, 0), (15, 8), (8 * 60, 2), (30 * 24 * 60, 8)];
/// A call of more events than this is a large one, of which few in flight keep a server busy.
const SMALL_CALL: usize = 100;
/// So many questions come to one change that is watched.
const CALLS_A_CHANGE: usize = 50;
const SHARED: &str = "The bare service shares this program's allocator and number of threads.";

/// Runs `tasktally bench`: measures, and says what came out.
///
/// # Errors
/// A service cannot be started, or does not take what it is sent.
pub async fn run(args: BenchArgs) -> Result<u8, Failure> {
    if args.bare {
        return bare::serve().await;
    }
    if args.running {
        let ours = Service::running(&args.connection, args.pid);
        return Bench::new(&args, ours, None)?.measure().await;
    }
    let home = Home::new(args.dir.as_deref())?;
    let ours = Service::tasktally(&args.connection, home.path())?;
    let bare = Service::bare(&args.connection)?;
    let done = tokio::select! {
        done = Bench::new(&args, ours, Some(bare))?.measure() => done,
        // What was started is ended and removed on the way out.
        () = crate::cli::interrupt() => Ok(crate::cli::EXIT_INTERRUPTED),
    };
    drop(home);
    done
}

/// A service, and the connections to it.
struct Side {
    service: Service,
    client: Client,
}

struct Bench<'a> {
    args: &'a BenchArgs,
    ours: Side,
    bare: Option<Side>,
    events: Events,
    progress: Progress,
    done: u64,
    at_most: Duration,
}

impl<'a> Bench<'a> {
    fn new(args: &'a BenchArgs, ours: Service, bare: Option<Service>) -> Result<Bench<'a>, Failure> {
        let side =
            |service: Service| Ok::<_, Failure>(Side { client: Client::new(&service, args.connections)?, service });
        let account = args.account.map(|account| account.to_string());
        let steps = args.batch.len() + QUESTIONS.len() + 2;
        Ok(Bench {
            args,
            ours: side(ours)?,
            bare: bare.map(side).transpose()?,
            events: Events::over_a_day(seed(), args.events * args.batch.len(), account),
            progress: Progress::new(Some(steps as u64), ""),
            done: 0,
            at_most: Duration::from_secs(args.seconds as u64),
        })
    }

    async fn measure(mut self) -> Result<u8, Failure> {
        let mut measurements = Vec::new();
        for size in &self.args.batch {
            measurements.push(self.ingest(*size).await?);
        }
        let workspace_sid = self.events.workspace_sid.clone();
        let question = GetRealtimeRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
        measurements.push(self.ask("GetRealtime".into(), REALTIME, question.encode_to_vec().into()).await?);
        for (minutes, thresholds) in QUESTIONS {
            let question = GetCumulativeRequest {
                workspace_sid: workspace_sid.clone(),
                minutes: Some(minutes),
                split_by_wait_time: THRESHOLDS[..thresholds].to_vec(),
                ..Default::default()
            };
            let name = format!("GetCumulative, {minutes} min, {thresholds} split");
            measurements.push(self.ask(name, CUMULATIVE, question.encode_to_vec().into()).await?);
        }
        let peak = measurements.iter().map(|of| of.tasktally.events_per_second).fold(0.0, f64::max);
        let watch = self.watch(peak / 2.0).await?;
        self.progress.finish();
        let bare = self.bare.is_some().then_some(SHARED);
        let report = Report { version: env!("CARGO_PKG_VERSION"), bare, measurements, watch };
        print(match self.args.output {
            Output::Text => report.as_text(),
            Output::Json => {
                serde_json::to_string_pretty(&report).map_err(|error| Failure::local("writing JSON", error.into()))?
                    + "\n"
            }
        })?;
        Ok(0)
    }

    fn show(&mut self, what: &str) {
        self.progress.show(self.done, what.to_owned());
        self.done += 1;
    }

    async fn ingest(&mut self, size: usize) -> Result<Measurement, Failure> {
        let name = format!("IngestEvents, {size} a call");
        self.show(&name);
        let calls = (self.args.events / size).max(1);
        let messages: Vec<Bytes> = (0..calls).map(|_| self.events.batch(size)).collect();
        let in_flight = if size > SMALL_CALL { self.args.in_flight.div_ceil(8) } else { self.args.in_flight };
        let ours = self.ours.all(INGEST, messages.clone(), in_flight, self.at_most, all_accepted).await?;
        let bare = match &self.bare {
            Some(bare) => Some(bare.all(bare::INGEST, messages, in_flight, self.at_most, all_accepted).await?),
            None => None,
        };
        let of = |run: &Run| Figures::of(run, size);
        Ok(Measurement::new(name, of(&ours), bare.as_ref().map(of)))
    }

    async fn ask(&mut self, name: String, path: &'static str, question: Bytes) -> Result<Measurement, Failure> {
        self.show(&name);
        let (calls, in_flight) = (self.args.calls, self.args.in_flight);
        let answer_bytes = self.ours.client.call(0, path, question.clone()).await?.len() as u32;
        let ask = bare::Ask { pad: vec![1; question.len()], answer_bytes };
        let ours = self.ours.all(path, vec![question; calls], in_flight, self.at_most, |_| Ok(())).await?;
        let bare = match &self.bare {
            Some(bare) => {
                let asks = vec![Bytes::from(ask.encode_to_vec()); calls];
                Some(bare.all(bare::ASK, asks, in_flight, self.at_most, |_| Ok(())).await?)
            }
            None => None,
        };
        let of = |run: &Run| Figures::of(run, 0);
        Ok(Measurement::new(name, of(&ours), bare.as_ref().map(of)))
    }

    async fn watch(&mut self, load_events_per_second: f64) -> Result<report::Watch, Failure> {
        self.show("WatchRealtime");
        let changes = (self.args.calls / CALLS_A_CHANGE).max(10);
        let account = self.args.account.map(|account| account.to_string());
        // A change is the creation of a task, of which there are enough.
        let watched = 2 * changes * events::EVENTS_A_TASK as usize;
        let mut watched = Events::over_a_day(seed() + 1, watched, account.clone());
        let mut load = Events::over_a_day(seed() + 2, limits::BENCH_EVENTS_MAX, account);
        let client = &self.ours.client;
        watching::watch(client, &mut watched, &mut load, load_events_per_second, changes, self.at_most).await
    }
}

impl Side {
    async fn all(
        &self,
        path: &'static str,
        messages: Vec<Bytes>,
        in_flight: usize,
        at_most: Duration,
        check: fn(&Bytes) -> Result<(), Failure>,
    ) -> Result<Run, Failure> {
        self.client.call_all(&self.service, path, messages, in_flight, at_most, check).await
    }
}

/// Another in each run: a server that runs must not know the events.
fn seed() -> u64 {
    now_ms().unsigned_abs()
}

fn accepted(answer: &Bytes) -> Result<IngestEventsResponse, Failure> {
    let answer = IngestEventsResponse::decode(answer.clone())
        .map_err(|error| Failure::Data(format!("the answer of an ingest: {error}")))?;
    match answer.rejected.first() {
        None if answer.duplicates == 0 => Ok(answer),
        None => Err(Failure::Data(format!("{} events are known already", answer.duplicates))),
        Some(first) => {
            let (refused, why) = (answer.rejected.len(), crate::cli::delivery::describe_rejection(first));
            Err(Failure::Data(format!("{refused} events of a call were refused: {why}")))
        }
    }
}

fn all_accepted(answer: &Bytes) -> Result<(), Failure> {
    accepted(answer).map(drop)
}
