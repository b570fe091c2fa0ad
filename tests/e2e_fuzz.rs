//! Ten thousand random and mutated messages, sent as bytes over several connections: each is answered in the contract's
//! terms, nothing panics, nothing leaks, and the answers to honest questions stay exact.
//!
//! `TASKTALLY_FUZZ_MESSAGES` sets their number, `TASKTALLY_FUZZ_SEED` repeats a run.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common::calls::Client;
use common::details::told;
use common::events::{Centre, Figures, at, length, now_ms, sid, worker};
use common::process::Launch;
use common::{in_time, raw};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasktally::api::proto::v1;
use tokio::task::JoinSet;
use tonic::{Code, Status};

const CONNECTIONS: u64 = 4;
const CALLERS_EACH: u64 = 2;
/// After this share of the messages the memory is looked at for the first time.
const WARM_UP: u64 = 3;
/// What the server may have grown by since: what messages that happen to be good may have it keep, and the allocator.
const MOST_GROWN_BYTES: u64 = 16 << 20;
/// A good watch has no end of its own.
const WATCH_TIMEOUT: &str = "100m";

/// The workspace that the messages are about. It has no digit in common with those of the centre, at any place, so that
/// a bit changed, a byte doubled or a piece moved never makes a message about the one that must stay exact.
const MUTATED_WORKSPACE: &str = "WSfedcba9876543210fedcba98fedcba98";

/// A method and a good message of it.
type Good = (&'static str, Vec<u8>);

/// Good messages of all methods; of ingest and the intervals more than of others.
fn corpus(centre: &Centre) -> Vec<Good> {
    let now = now_ms();
    let workspace = MUTATED_WORKSPACE.to_owned();
    let events = |from: u64, count: u64| v1::IngestEventsRequest {
        events: (from..from + count)
            .map(|number| v1::Event { workspace_sid: MUTATED_WORKSPACE.to_owned(), ..centre.event(number) })
            .collect(),
    };
    let mut rich = events(0, 1);
    rich.events.push(worker(7, &workspace, now, 3));
    let question = v1::GetCumulativeRequest {
        workspace_sid: workspace.clone(),
        task_channel: "voice".to_owned(),
        minutes: None,
        start_time: Some(at(now - 3_600_000)),
        end_time: Some(at(now)),
        split_by_wait_time: vec![1, 60, 3_600],
    };
    let watch = v1::WatchRealtimeRequest {
        workspace_sid: workspace.clone(),
        task_channel: sid("TC", 1),
        min_interval: Some(length(std::time::Duration::from_millis(10))),
        heartbeat_interval: Some(length(std::time::Duration::from_secs(1))),
    };
    let asked = v1::GetCumulativeRequest { workspace_sid: workspace.clone(), ..v1::GetCumulativeRequest::default() };
    let realtime = v1::GetRealtimeRequest { workspace_sid: workspace.clone(), task_channel: "chat".to_owned() };
    let page = v1::ListWorkspacesRequest { page_size: 1, page_token: "00ff".to_owned() };
    let list = v1::ListTaskChannelsRequest { workspace_sid: workspace, page_size: 10, page_token: "00ff".to_owned() };
    vec![
        (raw::INGEST, events(0, 1).encode_to_vec()),
        (raw::INGEST, events(100, 20).encode_to_vec()),
        (raw::INGEST, rich.encode_to_vec()),
        (raw::CUMULATIVE, question.encode_to_vec()),
        (raw::CUMULATIVE, v1::GetCumulativeRequest { minutes: Some(43_200), ..asked }.encode_to_vec()),
        // The fields of GetStatistics have the numbers of GetCumulative's.
        (raw::STATISTICS, question.encode_to_vec()),
        (raw::REALTIME, realtime.encode_to_vec()),
        (raw::WATCH, watch.encode_to_vec()),
        (raw::WORKSPACES, page.encode_to_vec()),
        (raw::CHANNELS, list.encode_to_vec()),
    ]
}

/// A message with some of its bytes changed, cut, doubled or moved; or bytes of no message at all.
fn mutated(good: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    if rng.random_bool(0.1) {
        let length = rng.random_range(0..300);
        return (0..length).map(|_| rng.random()).collect();
    }
    for _ in 0..rng.random_range(0..4) {
        if bytes.is_empty() {
            break;
        }
        let place = rng.random_range(0..bytes.len());
        match rng.random_range(0..7) {
            0 => bytes[place] = rng.random(),
            1 => bytes[place] ^= 1 << rng.random_range(0..8),
            2 => bytes.truncate(place),
            3 => drop(bytes.drain(place..(place + rng.random_range(1..20)).min(bytes.len()))),
            4 => bytes.insert(place, [0x00, 0x7f, 0x80, 0xff][rng.random_range(0..4)]),
            5 => {
                let end = (place + rng.random_range(1..60)).min(bytes.len());
                let piece = bytes[place..end].to_vec();
                let there = rng.random_range(0..=bytes.len());
                bytes.splice(there..there, piece);
            }
            _ => {
                // The longest number that a varint can hold, where any byte was.
                bytes.splice(place..=place, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
            }
        }
    }
    bytes
}

/// A message in its framing, which is spoiled now and then.
fn body(good: &[u8], rng: &mut ChaCha8Rng) -> (Bytes, Option<&'static str>) {
    let framed = raw::framed(&mutated(good, rng), false);
    match rng.random_range(0..40) {
        0 => (framed.slice(..rng.random_range(0..framed.len())), None),
        1 => (raw::framed(&mutated(good, rng), true), Some("gzip")),
        2 => {
            // A length that the body does not have, up to four gigabytes.
            let mut framed = framed.to_vec();
            framed[1 + rng.random_range(0..4_usize)] = rng.random();
            (framed.into(), None)
        }
        _ => (framed, None),
    }
}

/// That an answer is one that the contract knows for a bad message; answers its code.
fn check(outcome: &Result<Bytes, Status>, method: &str, body: &Bytes) -> Code {
    let Err(status) = outcome else { return Code::Ok };
    if method == raw::WATCH && status.message().contains("TimeoutExpired") {
        return Code::Cancelled; // the client's own clock was faster than the server's answer
    }
    let told = told(status);
    assert!(told.retry_after.is_none(), "{method} of {body:02x?}: {status:?}");
    let is_expected = match told.code {
        Code::InvalidArgument | Code::NotFound | Code::OutOfRange => true,
        Code::ResourceExhausted => told.reason == "MESSAGE_TOO_LARGE",
        Code::DeadlineExceeded => method == raw::WATCH,
        _ => false,
    };
    assert!(is_expected, "{method} of {body:02x?}: {status:?}");
    told.code
}

async fn call(client: Client, corpus: Arc<Vec<Good>>, mut rng: ChaCha8Rng, calls: u64) -> BTreeMap<i32, u64> {
    let mut codes = BTreeMap::new();
    for _ in 0..calls {
        let (own_method, good) = &corpus[rng.random_range(0..corpus.len())];
        let other_method = corpus[rng.random_range(0..corpus.len())].0;
        let method = if rng.random_bool(0.1) { other_method } else { own_method };
        let (body, encoding) = body(good, &mut rng);
        let mut headers: Vec<(&str, &str)> = encoding.map(|encoding| ("grpc-encoding", encoding)).into_iter().collect();
        headers.extend((method == raw::WATCH).then_some(("grpc-timeout", WATCH_TIMEOUT)));
        let answer = raw::call_with(client.channel.clone(), method, &headers, raw::whole_body(body.clone()));
        let outcome = in_time("an answer", answer).await;
        *codes.entry(check(&outcome, method, &body) as i32).or_default() += 1;
    }
    codes
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn random_and_mutated_messages_do_no_harm() {
    let messages = setting("TASKTALLY_FUZZ_MESSAGES", 10_000);
    let seed = setting("TASKTALLY_FUZZ_SEED", now_ms() as u64);
    println!("TASKTALLY_FUZZ_SEED={seed} repeats this run's draws");
    let centre = Centre { end_ms: now_ms(), workspaces: 1 };
    let data_dir = tempfile::tempdir().unwrap();
    let mut server = Launch::on(data_dir.path()).start();
    let honest = Client::to(&server).await;
    let numbers = 0..1_000;
    honest.accept(numbers.clone().map(|number| centre.event(number)).collect()).await;
    let expected = centre.figures(numbers).remove(0);

    let corpus = Arc::new(corpus(&centre));
    let mut codes: BTreeMap<i32, u64> = BTreeMap::new();
    let mut resident = Vec::new();
    for part in 0..WARM_UP {
        let mut callers = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let client = Client::to(&server).await;
            for caller in 0..CALLERS_EACH {
                let rng = ChaCha8Rng::seed_from_u64(seed ^ (part << 40 | connection << 32 | caller << 48));
                let calls = messages.div_ceil(WARM_UP * CONNECTIONS * CALLERS_EACH);
                callers.spawn(call(client.clone(), corpus.clone(), rng, calls));
            }
        }
        for of_caller in callers.join_all().await {
            of_caller.into_iter().for_each(|(code, count)| *codes.entry(code).or_default() += count);
        }
        resident.push(server.resident_bytes());
        server.assert_sound();
    }
    println!("answers by code: {codes:?}; resident: {resident:?}");
    assert!(codes.values().sum::<u64>() >= messages);
    for code in [Code::Ok, Code::InvalidArgument, Code::NotFound, Code::DeadlineExceeded] {
        assert!(codes.contains_key(&(code as i32)), "{code:?} never came: {codes:?}");
    }
    let grown = resident.last().unwrap().saturating_sub(resident[0]);
    assert!(grown < MOST_GROWN_BYTES, "{resident:?}");

    // It still serves, and exactly: in this process and in the next, which replays what was taken of all that.
    for _ in 0..2 {
        let request = v1::GetStatisticsRequest {
            workspace_sid: centre.workspace(0),
            start_time: Some(at(centre.end_ms - 3_600_000)),
            ..v1::GetStatisticsRequest::default()
        };
        let client = Client::to(&server).await;
        let found = client.statistics().get_statistics(request).await.unwrap().into_inner();
        assert_eq!(Figures::told(&found), expected);
        server.kill();
        server = Launch::on(data_dir.path()).start();
    }
    server.stop();
}
