//! Upgrading: a data directory that an earlier version wrote opens, and gives the answers that the earlier version
//! gave. `tests/fixtures/README.md` says how each directory came to be.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, json};
use tasktally::api::encode::{self, Links, Stamp};
use tasktally::api::proto::DESCRIPTORS;
use tasktally::engine::{ChannelFilter, Window};
use tasktally::event::{Event, HOUR_MS, Millis};
use tasktally::journal::Journal;
use tasktally::pipeline::{Caller, CumulativeQuestion};

use support::bench::{NOON, runtime};
use support::build;
use support::scribe::{self, Scribe, staff, start_at};

/// A directory of this repository's fixtures.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn copied(from: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn json_of(name: &str, message: &impl Message) -> Value {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let descriptor = pool.get_message_by_name(&format!("tasktally.v1.{name}")).unwrap();
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).unwrap();
    let options = SerializeOptions::new().skip_default_fields(false);
    dynamic.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

/// Everything that a data directory answers at this moment, as the wire has it.
fn answers(dir: &Path, now: i64) -> Value {
    let (running, _clock) = start_at(dir, now);
    let (pipeline, caller, runtime) = (running.pipeline.clone(), Caller::everything(), runtime());
    let links = Links::new("http://localhost");
    let mut all = Vec::new();
    for row in runtime.block_on(pipeline.workspaces(&caller, None, usize::MAX)).unwrap() {
        let channels = runtime.block_on(pipeline.channels(&caller, row.workspace, None, usize::MAX)).unwrap();
        let mut filters = vec![ChannelFilter::All];
        filters.extend(channels.iter().map(|channel| ChannelFilter::Named(channel.unique_name.clone())));
        for filter in filters {
            for minutes in [30, 24 * 60] {
                let window = Window::Minutes(minutes);
                let question = CumulativeQuestion { channel: filter.clone(), window, thresholds: [5, 60, 600].into() };
                let stamped = runtime.block_on(pipeline.statistics(&caller, row.workspace, question)).unwrap();
                let (realtime, cumulative) = &stamped.answer;
                let stamp = Stamp::of(&links, row.workspace, &stamped);
                all.push(json_of("WorkspaceStatistics", &encode::statistics(stamp, realtime, cumulative)));
            }
        }
        all.extend(channels.iter().map(|channel| json_of("TaskChannel", &encode::task_channel(channel))));
    }
    running.stop();
    json!({ "now": now, "answers": all })
}

/// Whether all that was said once is said still; newer versions may say more.
fn assert_still_said(path: &str, expected: &Value, found: &Value) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (key, value) in expected {
                let said = found.get(key).unwrap_or_else(|| panic!("{path}.{key} is not there"));
                assert_still_said(&format!("{path}.{key}"), value, said);
            }
        }
        (Value::Array(expected), Value::Array(found)) => {
            assert_eq!(expected.len(), found.len(), "items of {path}");
            for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
                assert_still_said(&format!("{path}[{at}]"), expected, found);
            }
        }
        (expected, found) => assert_eq!(expected, found, "{path}"),
    }
}

fn assert_opens(name: &str) {
    let from = fixture(name);
    let expected: Value = serde_json::from_slice(&fs::read(from.join("answers.json")).unwrap()).unwrap();
    let now = expected["now"].as_i64().unwrap();
    // By its checkpoint and what came after, and by the log alone.
    for with_checkpoint in [true, false] {
        let dir = copied(&from);
        let checkpoints: Vec<PathBuf> = fs::read_dir(dir.path())
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("checkpoint-"))
            .collect();
        assert_eq!(checkpoints.len(), 1, "{checkpoints:?}");
        if !with_checkpoint {
            fs::remove_file(&checkpoints[0]).unwrap();
        }
        assert_still_said(name, &expected, &answers(dir.path(), now));
    }
}

#[test]
fn a_directory_of_format_1_opens_and_answers_as_it_did() {
    assert_opens("format-1");
}

/// Rows of version 2: a workspace is forgotten, and begins anew.
#[test]
fn a_directory_of_format_2_opens_and_answers_as_it_did() {
    assert_opens("format-2");
    let decrees = |name: &str| {
        let (mut journal, _) = Journal::open(copied(&fixture(name)).path(), "a test").unwrap();
        let mut decrees = 0;
        let each = &mut |record: tasktally::journal::Record<'_>| {
            decrees += u64::from(record.body[0] == 2);
            std::ops::ControlFlow::Continue(())
        };
        journal.read(0, each).unwrap();
        decrees
    };
    assert_eq!((decrees("format-1"), decrees("format-2")), (0, 2));
}

/// What is in a directory, so that a fixture has every kind of record there is.
#[test]
fn each_directory_has_every_kind_of_record() {
    for format in ["format-1", "format-2"] {
        assert_has_every_kind(&fixture(format));
    }
}

fn assert_has_every_kind(from: &Path) {
    let dir = copied(from);
    let db = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    for (what, sql) in [
        ("rows", "SELECT count(*) FROM headers WHERE codec = 0"),
        ("blocks", "SELECT count(*) FROM headers WHERE codec = 1"),
        ("dropped ranges", "SELECT count(*) FROM gaps"),
        ("lasting carry-overs", "SELECT count(*) FROM carry WHERE substr(key, 17, 1) = x'6c'"),
        ("carry-overs of ends", "SELECT count(*) FROM carry WHERE substr(key, 17, 1) = x'65'"),
    ] {
        let count: i64 = db.query_row(sql, [], |row| row.get(0)).unwrap();
        assert!(count > 0, "no {what}");
    }
    assert!(fs::metadata(from.join("journal.db-wal")).unwrap().len() > 0, "no write-ahead log");
}

#[test]
fn a_row_or_a_file_of_a_later_version_is_refused_with_a_sentence() {
    let dir = copied(&fixture("format-1"));
    let db = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    db.execute_batch("PRAGMA user_version = 2").unwrap();
    drop(db);
    let refused = Journal::open(dir.path(), "a test").err().unwrap().to_string();
    assert!(refused.contains("has format version 2, this program reads and writes version 1 only"), "{refused}");
}

/// As if it were of somebody who sorts by it.
fn tasks(first: u32, workspace: u32, now: i64) -> Vec<Event> {
    scribe::tasks(first, workspace, now, |n| n as i32 % 4)
}

/// Writes a fixture, two days and a half of two workspaces up to [`NOON`], into an empty directory, by the code that is there:
/// `TASKTALLY_WRITE_FIXTURE=DIR cargo test --test formats write_a_fixture -- --ignored`
#[test]
#[ignore = "only for a new format"]
fn write_a_fixture() {
    let dir = PathBuf::from(std::env::var("TASKTALLY_WRITE_FIXTURE").expect("where to write it"));
    let mut scribe = Scribe::of(&dir, 5);
    let old = NOON - 60 * HOUR_MS;
    let (running, clock) = scribe.start(old);
    for workspace in [1, 2] {
        scribe.take(&running, staff(workspace, old));
        scribe.take(&running, tasks(100 * workspace, workspace, old));
    }
    for hours in [20, 12] {
        let now = NOON - hours * HOUR_MS;
        clock.set(now);
        scribe.take(&running, tasks(100 + hours as u32 * 10, 1, now));
    }
    // Another one's, whose carry-overs are still to come; and below, one that has them.
    let mistaken = build::workspace(3);
    clock.set(NOON - 12 * HOUR_MS);
    scribe.take(&running, tasks(800, 3, NOON - 12 * HOUR_MS));
    scribe.forget(&running, mistaken);
    scribe.take(&running, tasks(900, 3, NOON - 12 * HOUR_MS));
    // The rows of 60 hours ago are past the retention: what lasts is carried over, and they go.
    let mut running = running;
    let mut keeper = running.keeper.take().unwrap();
    keeper.expect_old_rows();
    keeper.run_once(Millis(NOON - 12 * HOUR_MS)).unwrap();
    clock.set(NOON - 11 * HOUR_MS);
    scribe.take(&running, tasks(400, 2, NOON - 11 * HOUR_MS));
    drop(keeper);
    running.stop();
    scribe.compress();

    let (mut running, clock) = scribe.start(NOON - HOUR_MS);
    scribe.take(&running, tasks(500, 1, NOON - HOUR_MS));
    // An end dated to a day that was carried over already, and the checkpoint.
    let late = NOON - 23 * HOUR_MS;
    scribe.take(&running, tasks(600, 1, late));
    running.keeper.as_mut().unwrap().run_once(Millis(NOON - HOUR_MS)).unwrap();
    clock.set(NOON);
    scribe.take(&running, tasks(700, 2, NOON));
    // After the checkpoint.
    scribe.forget(&running, mistaken);
    scribe.take(&running, tasks(950, 3, NOON));
    running.stop();
    // Its own copy, since asking is also starting.
    let found = answers(copied(&dir).path(), NOON);
    fs::write(dir.join("answers.json"), serde_json::to_string_pretty(&found).unwrap()).unwrap();
    fs::remove_file(dir.join("LOCK")).unwrap();
}
