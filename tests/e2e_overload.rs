//! Three times what the server can do: small and large batches, questions and 1,000 watchers at a time.
//!
//! The peak is measured first, with callers who wait for their answers; then calls come at three times that rate whether
//! or not they are answered. The generator shares the machine with the server, and sends three times as much as at the
//! peak, so what the server acknowledges a second is reported, and what it acknowledges for a second of its own CPU time
//! is judged: that falls when refusals, or work in vain, take what acknowledged events need. Small calls are let in
//! before large ones, and an event of theirs costs more; so a call counts for what one of its size costs alone. Times are
//! judged only against bounds far beyond an honest delay.
//!
//! `TASKTALLY_OVERLOAD_SECONDS` is how long the overload lasts, `TASKTALLY_OVERLOAD_BINARY` another build of the binary
//! than the tests' own.

mod common;
#[path = "overload/load.rs"]
mod load;
#[path = "overload/onlookers.rs"]
mod onlookers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use common::calls::Client;
use common::events::sid;
use common::process::{Launch, Server};
use common::{HANG, eventually, raw};
use load::{Load, Tally};
use onlookers::{Questions, Watchers};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic_health::pb::health_check_response::ServingStatus;

const INGEST_BYTES: usize = 8 << 20;
/// A message of so many bytes is not a large one, and may take the last of the room.
const HELD_BYTES: usize = 64 << 10;
const WATCHERS: usize = 1_000;

// ---- What is judged -------------------------------------------------------------------------------------------------

const FACTOR: f64 = 3.0;
/// Of the work that is acknowledged for a second of the server's CPU time, against the peak.
const LEAST_WORK_OF_PEAK: f64 = 0.8;
/// The same of events, of which more come in small calls than at the peak.
const LEAST_EVENTS_OF_PEAK: f64 = 0.5;
/// A question never waits for the calls before it: those would take many times as long.
const QUESTIONS_P99: Duration = Duration::from_secs(5);
/// Against a call of the same size that is taken.
const MOST_COST_OF_REFUSAL: f64 = 0.5;
/// What `INGEST_BYTES` hold, decoded; see limits.rs.
const DECODED: u64 = 5;
/// What an event holds that is retained, with room for the growth of tables, which doubles them.
const RETAINED_BYTES: u64 = 400;
/// For all that does not depend on the load: connections, the journal's cache, the allocator.
const ELSE_BYTES: u64 = 96 << 20;

/// The aim that is reported against.
const REFUSAL_AIM: Duration = Duration::from_millis(5);
const NORMAL_AIM: Duration = Duration::from_secs(2);

fn seconds() -> u64 {
    std::env::var("TASKTALLY_OVERLOAD_SECONDS").map_or(8, |seconds| seconds.parse().expect("a number of seconds"))
}

fn serve(home: &std::path::Path) -> Server {
    let launch = Launch::on(home).with(["--max-ingest-bytes", "8MiB"]);
    match std::env::var_os("TASKTALLY_OVERLOAD_BINARY").map(PathBuf::from) {
        Some(program) => launch.of(&program).start(),
        None => launch.start(),
    }
}

/// User and system time of a process.
fn cpu(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = [11, 12].map(|field| fields[field].parse::<u64>().unwrap()).iter().sum();
    // A tick is 10 ms on every Linux of today.
    Duration::from_millis(10 * ticks)
}

/// What was acknowledged over some time.
struct Phase {
    tally: Tally,
    took: Duration,
    cpu: Duration,
    most_resident_bytes: u64,
}

impl Phase {
    async fn watch(server: &Server, load: &Arc<Load>, run: impl Future<Output = ()>) -> Phase {
        let (before, cpu_before, started) = (load.tally(), cpu(server.id()), Instant::now());
        let mut most_resident_bytes = 0;
        tokio::pin!(run);
        let mut look = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                () = &mut run => break,
                _ = look.tick() => most_resident_bytes = server.resident_bytes().max(most_resident_bytes),
            }
        }
        let (took, cpu) = (started.elapsed(), cpu(server.id()) - cpu_before);
        Phase { tally: load.tally().since(&before), took, cpu, most_resident_bytes }
    }

    fn a_second(&self) -> f64 {
        self.tally.acknowledged as f64 / self.took.as_secs_f64()
    }

    fn a_cpu_second(&self) -> f64 {
        self.tally.acknowledged as f64 / self.cpu.as_secs_f64()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_three_times_its_peak_the_server_does_what_it_can_and_no_less() {
    let home = tempfile::tempdir().unwrap();
    let mut server = serve(home.path());
    let load = Load::on(&server).await;
    let watchers = Watchers::begin(&server, WATCHERS).await;
    let questions = Questions::begin(&server);
    let length = Duration::from_secs(seconds());

    // Once for nothing: the first events make tables, files and connections.
    load.closed(Duration::from_secs(1)).await;
    let peak = Phase::watch(&server, &load, load.closed((length / 4).max(Duration::from_secs(3)))).await;
    assert_eq!(peak.tally.refused, 0, "callers who wait are not too many");
    println!("questions at the peak: {:?}", questions.taken());
    let before_bytes = server.resident_bytes();

    // On a machine that others use too it may have had less than the one core that it is given here at least.
    let can = peak.a_second().max(peak.a_cpu_second());
    let heard = watchers.heard();
    let over = Phase::watch(&server, &load, load.open(FACTOR * can, length)).await;
    let asked = questions.taken();
    let normal_after = until_normal(&server, &load).await;
    println!("questions in overload: {asked:?}; normal {normal_after:?} after the end (aim: {NORMAL_AIM:?})");
    assert!(watchers.heard() > heard, "watches go on");
    watchers.end();
    questions.end();

    let most = before_bytes + RETAINED_BYTES * over.tally.acknowledged + DECODED * INGEST_BYTES as u64 + ELSE_BYTES;
    let [before, highest, most_mb] = [before_bytes, over.most_resident_bytes, most].map(|bytes| bytes >> 20);
    println!("memory: {before} MB before, at most {highest} MB, bound {most_mb} MB");
    assert!(over.most_resident_bytes <= most);
    assert!(asked.count > 0 && asked.p99 < QUESTIONS_P99, "{asked:?}");

    let costs = [judge_refusals(&server, &load, false).await, judge_refusals(&server, &load, true).await];
    judge_work(&peak, &over, costs, can);
    server.assert_sound();
}

/// That the server's time went into what it acknowledged. A call of each size counts for what it costs alone.
fn judge_work(peak: &Phase, over: &Phase, [small, large]: [f64; 2], can: f64) {
    let work =
        |phase: &Phase| (phase.tally.small as f64 * small + phase.tally.large as f64 * large) / phase.cpu.as_secs_f64();
    let (of_peak, work_of_peak) = (over.a_cpu_second() / peak.a_cpu_second(), work(over) / work(peak));
    println!("peak: {:.0} events a second, {:.0} a CPU second", peak.a_second(), peak.a_cpu_second());
    println!(
        "offered {:.2} x what it could do with a core, {:.2} x what it did a second, for {:.1} s: {:.0} events a \
         second acknowledged ({:.0} % of the peak), {:.0} a CPU second ({:.0} %, and {:.0} % of its work); {:?}",
        over.tally.offered as f64 / over.took.as_secs_f64() / can,
        over.tally.offered as f64 / over.took.as_secs_f64() / peak.a_second(),
        over.took.as_secs_f64(),
        over.a_second(),
        100.0 * over.a_second() / peak.a_second(),
        over.a_cpu_second(),
        100.0 * of_peak,
        100.0 * work_of_peak,
        over.tally,
    );
    assert!(over.tally.refused > 0, "that was no overload");
    assert!(work_of_peak >= LEAST_WORK_OF_PEAK, "{work_of_peak}");
    assert!(of_peak >= LEAST_EVENTS_OF_PEAK, "{of_peak}");
}

/// Until everything is as it was before, from the moment that no more calls come.
async fn until_normal(server: &Server, load: &Arc<Load>) -> Duration {
    let ended = Instant::now();
    let client = Client::to(server).await;
    eventually("a large batch is taken at once, and a question answered", async || {
        if !load.send_one(true).await {
            return None;
        }
        client.realtime(&sid("WS", 1), "").await.ok()
    })
    .await;
    assert_eq!(client.health_of("").await.unwrap(), ServingStatus::Serving);
    ended.elapsed()
}

/// What a refusal costs the server, against taking a call of the same size, with nobody else there. Answers the latter.
async fn judge_refusals(server: &Server, load: &Arc<Load>, is_large: bool) -> f64 {
    let calls = if is_large { 60 } else { 400 };
    let taken = Phase::watch(server, load, load.some(is_large, calls)).await;
    assert_eq!((taken.tally.small + taken.tally.large, taken.tally.refused), (calls, 0));
    let held = hold_all_room(server, load).await;
    load.forget_refusals();
    let refused = Phase::watch(server, load, load.some(is_large, 4 * calls)).await;
    assert_eq!((refused.tally.small + refused.tally.large, refused.tally.refused), (0, 4 * calls));
    drop(held);
    let (cost, of_taken) = (refused.cpu.as_secs_f64() / (4 * calls) as f64, taken.cpu.as_secs_f64() / calls as f64);
    let (median, p99) = onlookers::percentiles(load.refusals());
    println!(
        "{} calls: {:.0} us of CPU a refusal, {:.0} us a call that is taken; refused after {median:?}, p99 {p99:?} \
         (aim: {REFUSAL_AIM:?})",
        if is_large { "large" } else { "small" },
        1e6 * cost,
        1e6 * of_taken
    );
    // A refusal of a small call is all overhead, of which one that is taken has as much.
    assert!(cost <= of_taken * if is_large { MOST_COST_OF_REFUSAL } else { 1.0 }, "{cost} against {of_taken}");
    eventually("there is room again", async || load.send_one(is_large).await.then_some(())).await;
    of_taken
}

/// Messages that are announced and do not come take all the room that there is for requests.
async fn hold_all_room(server: &Server, load: &Arc<Load>) -> Vec<(mpsc::Sender<Bytes>, JoinHandle<()>)> {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::to(server).await);
    }
    let mut held = Vec::new();
    let started = Instant::now();
    loop {
        // Where a call had the room just then, the message was refused.
        held.retain(|(_, call): &(_, JoinHandle<()>)| !call.is_finished());
        for _ in held.len()..INGEST_BYTES / HELD_BYTES {
            let (sender, body) = raw::open_body();
            let mut head = BytesMut::new();
            head.put_u8(0);
            head.put_u32(HELD_BYTES as u32);
            sender.send(head.freeze()).await.unwrap();
            let channel = clients[held.len() % clients.len()].channel.clone();
            held.push((sender, tokio::spawn(async move { drop(raw::call(channel, raw::INGEST, None, body).await) })));
        }
        if !load.send_one(false).await && held.iter().all(|(_, call)| !call.is_finished()) {
            return held;
        }
        assert!(started.elapsed() < HANG, "never happened: all room is taken");
    }
}
