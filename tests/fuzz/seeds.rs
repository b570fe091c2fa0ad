//! The seeds of the corpus, made by the real encoders.

use prost::Message;
use prost_types::{Duration, Timestamp};
use tasktally::api::decode;
use tasktally::api::proto::v1::{self, EventType, TaskAssignmentStatus};
use tasktally::engine::{CarryPart, Duplicates, Figure, History, Sample, Workspace};
use tasktally::event::{DAY_MS, Event, EventSid, Millis, Second, WorkspaceSid};
use tasktally::pipeline::row;

use super::targets::data::NOW;

/// Of which target, under which name, which bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

pub fn all() -> Vec<Seed> {
    let mut seeds = messages();
    seeds.extend(questions());
    seeds.extend(words());
    seeds.extend(images());
    seeds.extend(directory());
    seeds.extend(super::door_seeds::all());
    seeds.extend(super::form_seeds::all(&events()));
    seeds
}

fn sid(letters: &str, n: u32) -> String {
    format!("{letters}{n:032x}")
}

fn at(ms: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: ms.div_euclid(1000), nanos: (ms.rem_euclid(1000) * 1_000_000) as i32 })
}

/// One event of each type in the life of two tasks and a worker, every field set.
fn events() -> Vec<v1::Event> {
    let event = |n: u32, kind: EventType| {
        let ms = NOW.0 - 3_600_000 + i64::from(n) * 12_345;
        v1::Event {
            sid: sid("EV", n),
            r#type: kind.into(),
            timestamp: at(ms),
            account_sid: sid("AC", 1),
            workspace_sid: sid("WS", 1),
            task: Some(v1::Task {
                sid: sid("WT", 1 + n % 2),
                date_created: at(NOW.0 - 3_600_000 + i64::from(n % 2)),
                assignment_status: (TaskAssignmentStatus::Pending as i32 + n as i32 % 4),
                priority: n as i32 - 3,
                task_channel_unique_name: "voice".into(),
                task_channel_sid: sid("TC", 1),
                version: i64::from(n),
                task_queue_sid: sid("WQ", 1),
                task_queue_name: "Zürich".into(),
                task_queue_entered_date: at(ms - 1),
                workflow_sid: sid("WW", 1),
                workflow_name: "w".into(),
            }),
            reservation: Some(v1::Reservation { sid: sid("WR", n), version: 1 }),
            worker: Some(v1::Worker {
                sid: sid("WK", 1),
                friendly_name: "Ann".into(),
                activity_sid: sid("WA", 1),
                activity_name: "Idle".into(),
                version: i64::from(n),
            }),
            activity: Some(v1::Activity { sid: sid("WA", 1), friendly_name: "Idle".into(), available: Some(true) }),
        }
    };
    use EventType::*;
    let kinds = [
        TaskCreated,
        ReservationCreated,
        ReservationAccepted,
        ReservationRejected,
        TaskUpdated,
        TaskQueueMoved,
        TaskCompleted,
        TaskCanceled,
        TaskDeleted,
        ActivityCreated,
        WorkerCreated,
        WorkerActivityUpdate,
        WorkerDeleted,
        WorkspaceUpdated,
    ];
    (0..).zip(kinds).map(|(n, kind)| event(n, kind)).collect()
}

fn request(events: &[v1::Event]) -> Vec<u8> {
    v1::IngestEventsRequest { events: events.to_vec() }.encode_to_vec()
}

fn messages() -> Vec<Seed> {
    let events = events();
    let unknown = [&request(&events[..1])[..], &[0x7b, 0x08, 0x01, 0x7c, 0x15, 1, 2, 3, 4]].concat();
    let json = |events: &[v1::Event]| {
        let lines = events.iter().map(|event| tasktally::cli::json::line("Event", event).unwrap() + "\n");
        lines.collect::<String>().into_bytes()
    };
    // The target's lines are short.
    let bare = |event: &v1::Event| v1::Event { task: None, worker: None, ..event.clone() };
    vec![
        ("batch", "life", request(&events)),
        ("batch", "one", request(&events[..1])),
        ("wire", "life", request(&events[..3])),
        ("wire", "event", events[1].encode_to_vec()),
        ("wire", "unknown-fields", unknown),
        ("json", "bare", json(&events.iter().map(bare).collect::<Vec<_>>()[..3])),
        (
            "json",
            "snake",
            b"{\"sid\":\"EV1\",\"type\":13,\"account_sid\":\"\"}\n\n{\"task\":{\"version\":\"7\"}}".to_vec(),
        ),
    ]
}

fn questions() -> Vec<Seed> {
    let workspace_sid = sid("WS", 1);
    let workspace = WorkspaceSid::parse(&workspace_sid).unwrap();
    let of = |which: u8, message: Vec<u8>| [vec![which], message].concat();
    let cumulative = v1::GetCumulativeRequest {
        workspace_sid: workspace_sid.clone(),
        task_channel: sid("TC", 1),
        minutes: None,
        start_time: at(NOW.0 - 600_000),
        end_time: at(NOW.0 - 1),
        split_by_wait_time: vec![1, 60, 2_592_000],
    };
    let statistics =
        v1::GetStatisticsRequest { workspace_sid: workspace_sid.clone(), minutes: Some(15), ..Default::default() };
    let realtime = v1::GetRealtimeRequest { workspace_sid: workspace_sid.clone(), task_channel: "voice".into() };
    let watch = v1::WatchRealtimeRequest {
        workspace_sid: workspace_sid.clone(),
        task_channel: String::new(),
        min_interval: Some(Duration { seconds: 0, nanos: 10_000_000 }),
        heartbeat_interval: Some(Duration { seconds: 3600, nanos: 0 }),
    };
    let workspaces = v1::ListWorkspacesRequest { page_size: 7, page_token: decode::workspace_token(workspace) };
    let channels = v1::ListTaskChannelsRequest {
        workspace_sid,
        page_size: 5000,
        page_token: decode::channel_token(workspace, "voice"),
    };
    vec![
        ("question", "realtime", of(0, realtime.encode_to_vec())),
        ("question", "cumulative", of(1, cumulative.encode_to_vec())),
        ("question", "statistics", of(2, statistics.encode_to_vec())),
        ("question", "watch", of(3, watch.encode_to_vec())),
        ("question", "workspaces", of(4, workspaces.encode_to_vec())),
        ("question", "channels", of(5, channels.encode_to_vec())),
    ]
}

fn words() -> Vec<Seed> {
    let time = |seconds: i64, nanos: i64, rest: &[i64], text: &str| {
        let mut bytes = [seconds, nanos].iter().chain(rest).flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        bytes.extend([15, 29]);
        bytes.extend(text.as_bytes());
        bytes
    };
    vec![
        ("sid", "lower", sid("WT", 0xabc).into_bytes()),
        ("sid", "upper", sid("AC", 0xabc).to_ascii_uppercase().into_bytes()),
        ("time", "now", time(NOW.second().0, 999_999_999, &[NOW.0 - 60_000, NOW.0, NOW.0], "100m")),
        ("time", "last", time(253_402_300_799, 0, &[i64::MAX, i64::MAX, i64::MAX], "99999999H")),
        ("time", "first", time(-62_135_596_800, 0, &[i64::MIN, 0, 0], "0n")),
    ]
}

/// A workspace that the events of the seeds were applied to, and the events.
fn workspace() -> (Workspace, Vec<Event>) {
    let batch = decode::batch(&request(&events()).into(), 100).unwrap();
    assert!(batch.refused.is_empty(), "{:?}", batch.refused);
    let events: Vec<Event> = batch.events.into_iter().map(|(_, event)| event).collect();
    let mut workspace = Workspace::new(events[0].account, 30 * DAY_MS, 7);
    events.iter().for_each(|event| workspace.apply(event, NOW));
    (workspace, events)
}

fn image(workspace: &Workspace) -> Vec<u8> {
    let mut image = Vec::new();
    workspace.encode(&mut image);
    image
}

fn parts(workspace: &Workspace) -> Vec<(CarryPart, Vec<u8>)> {
    workspace.carry_over(Millis(NOW.0 - 2 * DAY_MS), NOW)
}

fn images() -> Vec<Seed> {
    let (workspace, events) = workspace();
    let mut duplicates = Duplicates::new(7);
    // Enough in one hour for the form of an hour, some days apart for branches, few for leaves.
    for n in 0..400_u32 {
        let second = Second(NOW.second().0 - if n < 300 { i64::from(n % 3) } else { i64::from(n) * 9_000 });
        let event = EventSid::from_bytes(u128::from(n).to_be_bytes());
        duplicates.insert(second, duplicates.fingerprint(event, second));
    }
    let mut history = History::default();
    for n in 0..300_i64 {
        let second = Second(NOW.second().0 - if n < 100 { 0 } else { n * 700 });
        let figure = if n % 2 == 0 { Figure::ReservationsAccepted } else { Figure::TasksCanceled };
        history.add(second, Sample { figure, wait_ms: (n * n) as u64 });
    }
    let (mut history_bytes, mut duplicates_bytes) = (Vec::new(), Vec::new());
    history.encode(&mut history_bytes);
    duplicates.encode(&mut duplicates_bytes);
    let mut seeds = vec![
        ("row", "life", row::encode(&events, NOW)),
        ("row", "one", row::encode(&events[..1], NOW)),
        ("row", "forget", row::encode_forget(events[0].workspace, NOW)),
        ("workspace", "life", image(&workspace)),
        ("history", "moment-and-rows", history_bytes),
        ("duplicates", "all-forms", duplicates_bytes),
    ];
    for ((part, body), name) in parts(&workspace).into_iter().zip(["lasting", "ends"]) {
        seeds.push(("carry", name, [&part.to_key()[..], &body].concat()));
    }
    seeds
}

pub fn prefixed(piece: &[u8]) -> Vec<u8> {
    [&(piece.len() as u16).to_le_bytes()[..], piece].concat()
}

fn directory() -> Vec<Seed> {
    let (workspace, events) = workspace();
    let sid = *events[0].workspace.as_bytes();
    let rows = row::encode(&events, NOW);
    let mut recovery = vec![1, 2, 2, events.len() as u8];
    recovery.extend(prefixed(&rows));
    for (part, body) in parts(&workspace).into_iter().take(2) {
        recovery.extend([&sid[..], &part.to_key()].concat());
        recovery.extend(prefixed(&body));
    }
    // A checkpoint at position 1: the preface, and one workspace that is whole up to there.
    #[derive(serde::Serialize)]
    struct Preface {
        format: u32,
        key: u64,
        retention_ms: i64,
    }
    let preface = Preface { format: 1, key: 7, retention_ms: 30 * DAY_MS };
    let section = [&sid[..], &1_u64.to_le_bytes(), &image(&workspace)].concat();
    recovery.push(1);
    recovery.extend(prefixed(&postcard::to_stdvec(&preface).unwrap()));
    recovery.extend(prefixed(&section));

    let plain_block = |events: u16, entries: &[(u32, i64, &[u8])]| {
        let mut seed = vec![1];
        seed.extend((events - 1).to_le_bytes());
        seed.extend(NOW.0.to_le_bytes());
        seed.extend((entries.len() as u32).to_le_bytes());
        for (events, newest_ms, body) in entries {
            seed.extend(events.to_le_bytes());
            seed.extend(newest_ms.to_le_bytes());
            seed.extend((body.len() as u32).to_le_bytes());
        }
        entries.iter().for_each(|(_, _, body)| seed.extend(*body));
        seed
    };
    let compressed = zstd::bulk::compress(&[0; 64], 1).unwrap();
    let raw_block = [&[0, 0, 0][..], &NOW.0.to_le_bytes(), &64_u32.to_le_bytes(), &compressed].concat();
    vec![
        ("recovery", "rows-carries-checkpoint", recovery),
        ("recovery", "rows", [&[1, 0, 0, events.len() as u8][..], &prefixed(&rows)].concat()),
        ("block", "two-rows", plain_block(5, &[(2, NOW.0 - 1, b"abc"), (3, NOW.0, b"de")])),
        ("block", "raw", raw_block),
        ("checkpoint", "two-sections", [&[9, 0, 0, 1][..], &prefixed(b"preface"), &prefixed(&[1; 40])].concat()),
        ("checkpoint", "patched", [&[9, 0, 1, 1, 40, 0, 1][..], &prefixed(b"preface")].concat()),
        ("checkpoint", "raw", [&[9, 0, 0, 0][..], b"tasktally ckpt\0\x01"].concat()),
        ("journal", "patched", vec![2, 0, 0, 1, 4, 1, 2, 3, 4, 1, 0, 3, 2, 9, 9]),
        ("journal", "cut", vec![2, 1, 0, 9, 0]),
        ("journal", "rubbish", [&[0][..], b"SQLite format 3\0"].concat()),
    ]
}
