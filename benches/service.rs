//! The whole service at work: `cargo bench --bench service [-- EVENTS]` (default 200,000; the full run is 10,000,000).
//!
//! With `http` among the arguments, only what is asked over HTTP; with `watch`, only what watchers cost; with `questions`,
//! only what is asked over gRPC; with `ingest`, only calls of 1,000 events; with `calls`, all that takes events in.
//!
//! The real binary runs as a process of its own, beside it a bare tonic and prost service ([`echo`]) or a bare axum
//! handler ([`web`]); tonic clients
//! drive both over loopback, in turns, and the figures are the processes' own CPU time and memory. Nothing here can
//! fail because of time.

#[path = "service/child.rs"]
mod child;
#[path = "service/echo.rs"]
mod echo;
#[path = "service/events.rs"]
mod events;
#[path = "service/figures.rs"]
mod figures;
#[path = "service/ingest.rs"]
mod ingest;
#[path = "service/keeping.rs"]
mod keeping;
#[path = "service/load.rs"]
mod load;
#[path = "service/questions.rs"]
mod questions;
#[path = "service/watch.rs"]
mod watch;
#[path = "service/web.rs"]
mod web;

use child::Service;
use events::Events;
use figures::Table;
use load::Client;

/// The argument that makes this program the bare service.
const ECHO: &str = "echo";
/// The argument that makes this program the bare web service.
const AXUM: &str = "axum";
/// The arguments that take one part of the figures alone.
const HTTP: &str = "http";
const WATCHERS: &str = "watch";
const QUESTIONS: &str = "questions";
const INGEST: &str = "ingest";
const CALLS: &str = "calls";
const EVENTS: usize = 200_000;
const CONNECTIONS: usize = 4;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == ECHO) {
        return echo::serve();
    }
    if arguments.iter().any(|argument| argument == AXUM) {
        return web::serve();
    }
    let part =
        arguments.iter().find(|argument| [HTTP, WATCHERS, QUESTIONS, INGEST, CALLS].contains(&argument.as_str()));
    let count = arguments.iter().filter_map(|argument| argument.replace('_', "").parse().ok()).next().unwrap_or(EVENTS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(bench(count, part.map(String::as_str)));
}

/// Both services, and clients of both.
struct Pair {
    ours: Service,
    bare: Service,
    to_ours: Client,
    to_bare: Client,
}

async fn bench(count: usize, part: Option<&str>) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut events = Events::over_30_days(ingest::total(count) + watch::EVENTS);
    let (ours, bare) = (Service::tasktally(home.path()), Service::bare());
    let to_ours = Client::connect(ours.address, CONNECTIONS).await;
    let to_bare = Client::connect(bare.address, CONNECTIONS).await;
    let empty_bytes = ours.resident_bytes();
    let mut pair = Pair { ours, bare, to_ours, to_bare };

    let table = Table::begin("Ingest: server CPU an event, durable and applied, one workspace");
    ingest::batches_of_1000(&table, &pair, &mut events, count).await;
    match part {
        Some(HTTP) => return over_http(&pair, &events).await,
        Some(WATCHERS) => return watchers(&pair, &mut events).await,
        Some(QUESTIONS) => return questions(&pair, &events).await,
        Some(INGEST) => return,
        Some(_) | None => {}
    }
    ingest::small_calls(&table, &pair, &mut events, count).await;
    if part == Some(CALLS) {
        return;
    }
    let retained = ingest::total(count);
    println!("{retained} events over {:.1} days retained from here on", events.days());
    questions(&pair, &events).await;
    over_http(&pair, &events).await;
    let unwatched_bytes = pair.ours.resident_bytes();
    watchers(&pair, &mut events).await;

    let table = Table::begin("Keeping: memory, disk, restart");
    pair.to_ours = Client::connect(pair.ours.address, 1).await;
    let memory = keeping::Memory { empty_bytes, unwatched_bytes };
    keeping::sizes_and_restarts(&table, pair, home.path(), memory, retained).await;
}

async fn questions(pair: &Pair, events: &Events) {
    let table = Table::begin("Questions: calls a second and server CPU a call");
    questions::realtime(&table, pair, &events.workspace_sid).await;
    questions::cumulative(&table, pair, events).await;
}

async fn over_http(pair: &Pair, events: &Events) {
    let table = Table::begin("Over HTTP: calls a second and server CPU a call");
    web::realtime(&table, &pair.ours, &events.workspace_sid).await;
}

async fn watchers(pair: &Pair, events: &mut Events) {
    let table = Table::begin("Watchers: server CPU an update delivered");
    watch::fan_out(&table, pair, events).await;
}
