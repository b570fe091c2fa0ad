//! From a checked configuration to a running server, and back to an exit code.
//!
//! The port is open from the first moment: health says NOT_SERVING and every call UNAVAILABLE while the journal is
//! replayed. Shutting down is the same way back: NOT_SERVING, streams end, calls in flight finish, a checkpoint is
//! written, the journal is closed. Only the ports for probes and metrics answer until then.

mod board;
mod bounds;
mod counting;
mod demo;
mod exporting;
mod greeting;
mod keeping;
mod listening;
mod standing;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::access::{AccessError, Gate};
use crate::api::encode::Links;
use crate::api::intake::Intake;
use crate::api::seats::Seats;
use crate::api::{self, Api};
use crate::config::{Reflection, ServeConfig};
use crate::journal::{Journal, OpenError};
use crate::letters::{Letters, Place};
use crate::pipeline::{self, JournalHealth, Pipeline, RecoveryError, Running, SystemClock};
use crate::server::{self, Browsing, EntranceLayer, Health, Outcome};
use crate::tls::TlsError;
use crate::trace::export::Export;
use crate::wallboard;

use board::Board;
use bounds::{api_limits, letter_bounds, settings};
use greeting::greet;
use keeping::Keeping;
use listening::{Identity, Ports, Serving};

/// How often it is looked whether a checkpoint is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Signals within this time are one.
const ONE_SIGNAL: Duration = Duration::from_millis(500);
/// After the journal is lost: the time in which callers hear of it.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// The services by the names that health knows them by.
const INGEST: &str = "tasktally.v1.IngestService";
const READS: &[&str] = &["tasktally.v1.StatisticsService", "tasktally.v1.AdminService"];

/// Why the server did not run, or stopped running other than by request.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
    #[error("cannot listen on {address} ({flag}): {source}")]
    Listen { flag: &'static str, address: SocketAddr, source: std::io::Error },
    #[error(
        "{0} can be reached by others, and nobody would be asked who they are. Give --credentials FILE (`tasktally \
         credentials new --name NAME --roles read,ingest >> FILE` makes the first entry) or --jwt-jwks FILE; or listen on \
         127.0.0.1; or, where everybody who can reach it may read and write everything, --allow-unauthenticated"
    )]
    Unprotected(SocketAddr),
    #[error("cannot know callers: {0}")]
    Access(#[from] AccessError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot read the journal: {0}")]
    Recover(#[from] RecoveryError),
    #[error("cannot begin the demo: {0}")]
    Demo(String),
    #[error(
        "{} is not empty, and --demo makes its events up: give a directory that is new, or leave --data-dir out, and \
         nothing is kept", .0.display()
    )]
    DemoOverData(PathBuf),
    #[error("cannot export traces: {0}")]
    Traces(String),
    #[error("--trace-ca is for a collector that speaks TLS, and {0} does not: give --trace-endpoint https://…")]
    TracesInPlain(String),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("cannot go on: {0}; what was acknowledged is on the disk, as far as that kept it")]
    JournalLost(Arc<str>),
}

impl ServeError {
    /// Whether the settings themselves have to change, so that nobody needs to start the same again. What somebody else
    /// may mend meanwhile is no such thing: a port, a file, a disk.
    pub fn is_bad_usage(&self) -> bool {
        matches!(self, ServeError::Unprotected(_) | ServeError::DemoOverData(_) | ServeError::TracesInPlain(_))
    }
}

/// Serves until it is told to stop.
///
/// # Errors
/// The server could not start, or could not go on.
pub fn serve(config: ServeConfig) -> Result<ExitCode, ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Runtime)?;
    let outcome = runtime.block_on(run(config));
    // Nothing that a blocked thread does may hold the process.
    runtime.shutdown_background();
    outcome
}

async fn run(config: ServeConfig) -> Result<ExitCode, ServeError> {
    let mut signals = Signals::listen().map_err(ServeError::Runtime)?;
    if config.access.is_open_by_accident(config.listen) {
        return Err(ServeError::Unprotected(config.listen));
    }
    demo::check_data_dir(&config)?;
    let (traces, export) = exporting::begin(&config)?;
    let gate = open_gate(&config).await?;
    let connections = listening::connections(&config.connections);
    let identity = Identity::load(&config.tls, config.connections.max_handshakes)?;
    let (listener, address) = listening::bind("--listen", config.listen).await?;
    tracing::info!(%address, tls = config.tls.is_on(), version = env!("CARGO_PKG_VERSION"), "listening");
    if gate.is_some() && !config.tls.is_on() && !address.ip().is_loopback() {
        tracing::warn!(%address, "tokens cross the network in plaintext: set --tls-cert and --tls-key, or let a proxy speak TLS");
    }

    let stop = CancellationToken::new();
    let health = Health::starting(INGEST, READS).await;
    let (pipeline, letters) = (Pipeline::default(), Letters::default());
    let links = Arc::new(Links::new(&config.public_base(address)));
    let limits = api_limits(&config);
    let traffic = counting::traffic(traces);
    let api = Api {
        pipeline: pipeline.clone(),
        links,
        limits,
        letters: letters.clone(),
        seats: Seats::new(&limits),
        intake: Intake::new(&limits),
        read_raw: crate::http::read_raw,
        process: standing::process(&config, &connections, &traffic),
        stop: stop.clone(),
    };
    let besides = counting::ports(&config, &health, &api, &traffic, identity.as_ref(), export.as_ref()).await?;
    let grpc = routes(&api, &health, config.access.reflection);
    let board = Board::open(&config, gate.clone(), address).await;
    let plain = crate::http::router(&api, config.access.reflection != Reflection::Off).merge(board.router(&api));
    let router = server::router(grpc, plain, crate::http::wording);
    let bound = config.shutdown_timeout / 2;
    let entrance = entrance(gate, config.access.reflection, board.browsing());
    let settings = server::Settings {
        connections,
        drained: is_endless,
        lasting: has_lasting_body,
        entrance,
        wording: crate::http::wording,
        cors: crate::http::cors::layer(&config.http.http_cors_origin),
        traffic,
        ..server::Settings::default()
    };
    let serving = Serving { router, settings, stop: stop.clone(), bound }.begin(listener, identity);

    let (starting, config_there) = (pipeline.clone(), config.clone());
    let mut started = spawn_blocking(move || start(&config_there, address, starting, &letters));
    let running = tokio::select! {
        running = &mut started => running.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?,
        () = signals.next() => {
            // Nothing was acknowledged yet, so there is nothing to finish; the next start reads the journal again.
            tracing::info!("stopped while starting");
            return Ok(ExitCode::SUCCESS);
        }
    };
    board.keep();
    health.serving().await;
    let demo = config.demo.then(|| demo::begin(&config, address, stop.clone())).transpose()?;
    greet(&config, address, &besides.greeting(), demo.as_deref());

    let life = Life { config, pipeline, health, stop, serving, besides, export };
    life.live(running, signals).await
}

/// What callers are known by, read and followed; `None` where nobody is asked.
async fn open_gate(config: &ServeConfig) -> Result<Option<Gate>, ServeError> {
    let Some(settings) = config.access.settings() else {
        if !config.listen.ip().is_loopback() {
            tracing::warn!("UNAUTHENTICATED: whoever can reach this server may read and write everything");
        }
        return Ok(None);
    };
    let opened = spawn_blocking(move || Gate::open(settings, Arc::new(SystemClock))).await;
    let gate = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    let (credentials, keys) = gate.size();
    tracing::info!(credentials, keys, "callers need credentials");
    tokio::spawn(gate.clone().follow());
    Ok(Some(gate))
}

fn entrance(gate: Option<Gate>, reflection: Reflection, browsing: Browsing) -> EntranceLayer {
    let is_open: fn(&str) -> bool = match reflection {
        Reflection::Open => |path| {
            let described = server::is_reflection(path) || path == crate::http::description::PATH;
            described || server::is_health(path) || wallboard::is_open(path)
        },
        Reflection::Known | Reflection::Off => |path| server::is_health(path) || wallboard::is_open(path),
    };
    EntranceLayer::new(gate, is_open).with_signed(crate::http::is_for_events).with_browsing(browsing)
}

fn routes(api: &Api, health: &Health, reflection: Reflection) -> Routes {
    let mut routes = Routes::new(api.statistics_service());
    routes = routes.add_service(api.ingest_service()).add_service(api.admin_service()).add_service(health.service());
    if reflection == Reflection::Off {
        return routes;
    }
    match api::reflection::services() {
        Ok((v1, v1alpha)) => routes.add_service(v1).add_service(v1alpha),
        Err(error) => unreachable!("the descriptors that this build embeds are damaged: {error}"),
    }
}

/// The streams that only the server can end: a watch whose client reads nothing is never polled again.
fn is_endless(path: &str) -> bool {
    let ours = [
        "/tasktally.v1.StatisticsService/WatchRealtime",
        "/tasktally.v1.StatisticsService/WatchStatistics",
        "/tasktally.v1.AdminService/Backup",
    ];
    let plain = crate::http::is_stream(path) || wallboard::is_stream(path);
    plain || ours.contains(&path) || server::is_library_stream(path)
}

/// The calls whose clients send for as long as they like.
fn has_lasting_body(path: &str) -> bool {
    path == "/tasktally.v1.IngestService/StreamEvents" || server::is_reflection(path)
}

/// Opens the journal, replays it, and starts the threads. Blocks.
fn start(
    config: &ServeConfig,
    address: SocketAddr,
    pipeline: Pipeline,
    letters: &Letters,
) -> Result<Running, ServeError> {
    let settings = settings(config);
    let clock = Arc::new(SystemClock);
    if config.ephemeral {
        tracing::warn!("EPHEMERAL: nothing is kept on disk; every event is gone when this process ends");
        letters.open(Place::Memory, letter_bounds(config)).map_err(ServeError::Thread)?;
        return pipeline::start_ephemeral(settings, clock, pipeline).map_err(ServeError::Thread);
    }
    let started = Instant::now();
    let (mut journal, opened) = Journal::open(&config.data_dir, &format!("listening on {address}"))?;
    // The journal holds the directory, for both.
    letters.open(Place::Folder(config.data_dir.clone()), letter_bounds(config)).map_err(ServeError::Thread)?;
    if let Some(cut) = &opened.cut {
        tracing::warn!(%cut, "the journal's newest bytes were not whole");
    }
    let recovered = pipeline::recover(&mut journal, &config.data_dir, &settings)?;
    tracing::info!(
        data_dir = %config.data_dir.display(),
        workspaces = recovered.workspaces.len(),
        replayed = recovered.replayed,
        position = journal.end(),
        took_ms = started.elapsed().as_millis() as u64,
        "recovered"
    );
    pipeline::start(settings, clock, journal, recovered, &config.data_dir, pipeline).map_err(ServeError::Thread)
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for another one. Those that follow the first at once are the same, come by two ways: a wrapper such as
    /// `timeout` passes on what the whole group has got already.
    async fn again(&mut self, first: Instant) {
        loop {
            self.next().await;
            if first.elapsed() >= ONE_SIGNAL {
                return;
            }
        }
    }
}

/// A server that is up.
struct Life {
    config: ServeConfig,
    pipeline: Pipeline,
    health: Health,
    stop: CancellationToken,
    serving: JoinHandle<Outcome>,
    besides: Ports,
    export: Option<Export>,
}

impl Life {
    async fn live(self, mut running: Running, mut signals: Signals) -> Result<ExitCode, ServeError> {
        let mut journal = match self.pipeline.health() {
            Some(journal) => journal,
            None => unreachable!("the pipeline was started before the server went live"),
        };
        let mut keeping = Keeping::new(running.keeper.take(), self.config.checkpoint_interval, self.pipeline.passed());
        loop {
            tokio::select! {
                () = signals.next() => break,
                changed = journal.changed() => match changed {
                    Ok(()) => self.mind(&mut journal).await?,
                    Err(_) => return Err(ServeError::JournalLost("its thread has ended".into())),
                },
                () = tokio::time::sleep(LOOK_EVERY) => keeping.look(&self.pipeline).await,
            }
        }
        self.leave(running, keeping, signals).await
    }

    /// The journal can no longer be written, or can again.
    async fn mind(&self, journal: &mut watch::Receiver<JournalHealth>) -> Result<(), ServeError> {
        let state = journal.borrow_and_update().clone();
        match state {
            JournalHealth::Writable => self.health.serving().await,
            JournalHealth::Unwritable(_) => self.health.journal_unwritable().await,
            JournalHealth::Lost(cause) => {
                self.health.draining().await;
                self.stop.cancel();
                tokio::time::sleep(LAST_WORDS).await;
                return Err(ServeError::JournalLost(cause));
            }
        }
        Ok(())
    }

    async fn leave(self, running: Running, keeping: Keeping, mut signals: Signals) -> Result<ExitCode, ServeError> {
        let started = Instant::now();
        let bound_s = self.config.shutdown_timeout.as_secs();
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        tracing::info!(bound_s, tasks, "stopping; a second signal stops at once");
        self.health.draining().await;
        self.stop.cancel();
        let orderly = async {
            if let Ok(outcome) = self.serving.await {
                tracing::info!(connections = outcome.accepted, cut = outcome.cut, "connections closed");
            }
            keeping.finish(running).await;
            exporting::close(self.export, self.config.shutdown_timeout.saturating_sub(started.elapsed())).await;
            self.besides.close().await;
        };
        tokio::select! {
            outcome = tokio::time::timeout(self.config.shutdown_timeout, orderly) => match outcome {
                Ok(()) => tracing::info!(took_ms = started.elapsed().as_millis() as u64, "stopped"),
                Err(_) => tracing::warn!("the time for stopping is over; what is on disk is whole, the next start replays more"),
            },
            () = signals.again(started) => {
                tracing::warn!("second signal: stopping at once");
                return Ok(ExitCode::from(130));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
