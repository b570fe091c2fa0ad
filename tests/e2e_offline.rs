//! What is done to a data directory itself: verify, export, rebuild, by the real binary, on a history with late events,
//! ended tasks, a forgotten workspace, and rows that were pruned.

mod common;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::calls::Client;
use common::events::now_ms;
use common::process::{Launch, Ran, tasktally};
use support::build::workspace;
use support::scribe::{self, Scribe, staff};
use tasktally::api::proto::v1;
use tasktally::event::{HOUR_MS, Millis};

/// Of every server here.
const RETENTION: [&str; 2] = ["--retention", "24h"];
const FORGOTTEN: u32 = 3;

/// Three days of a history that ends now. `priority` makes histories that differ in nothing else.
fn write_history(dir: &Path, priority: i32) {
    let mut scribe = Scribe::of(dir, 3);
    let tasks = |first: u32, workspace: u32, now: i64| scribe::tasks(first, workspace, now, |_| priority);
    let now = now_ms();
    let old = now - 60 * HOUR_MS;
    let (mut running, clock) = scribe.start(old);
    for workspace in [1, 2, FORGOTTEN] {
        scribe.take(&running, staff(workspace, old));
        scribe.take(&running, tasks(100 * workspace, workspace, old));
    }
    for hours in [20, 12] {
        clock.set(now - hours * HOUR_MS);
        scribe.take(&running, tasks(400 + hours as u32 * 10, 1, now - hours * HOUR_MS));
        scribe.take(&running, tasks(400 + hours as u32 * 10, FORGOTTEN, now - hours * HOUR_MS));
    }
    scribe.take(&running, staff(1, now - 12 * HOUR_MS));
    let keeper = running.keeper.as_mut().unwrap();
    keeper.expect_old_rows();
    keeper.run_once(Millis(now - 12 * HOUR_MS)).unwrap();
    clock.set(now - 11 * HOUR_MS);
    scribe.take(&running, tasks(700, 2, now - 11 * HOUR_MS));
    running.stop();
    scribe.compress();

    let (mut running, clock) = scribe.start(now - HOUR_MS);
    // Late, by most of the retention.
    scribe.take(&running, tasks(800, 1, now - 22 * HOUR_MS));
    scribe.take(&running, staff(2, now - HOUR_MS));
    scribe.forget(&running, workspace(FORGOTTEN));
    scribe.take(&running, tasks(900, FORGOTTEN, now - HOUR_MS));
    running.keeper.as_mut().unwrap().run_once(Millis(now - HOUR_MS)).unwrap();
    clock.set(now);
    scribe.take(&running, tasks(1_000, 2, now));
    running.stop();
}

fn history() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_history(dir.path(), 1);
    dir
}

fn copied(from: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in contents(from) {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Every file but the lock's.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let named = files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
    named.filter(|(name, _)| name != "LOCK").collect()
}

fn checkpoint_of(dir: &Path) -> String {
    let mut found = contents(dir).into_keys().filter(|name| name.starts_with("checkpoint-"));
    let checkpoint = found.next().expect("there is a checkpoint");
    assert_eq!(found.next(), None);
    checkpoint
}

/// All that a server says of these hours, but for what hangs on the moment of the question.
async fn statistics(client: &Client) -> Vec<v1::WorkspaceStatistics> {
    let listed = client.statistics().list_workspaces(v1::ListWorkspacesRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.workspaces.len(), 3);
    // Whole hours, so that all ask for the same.
    let end = now_ms().div_euclid(HOUR_MS) * HOUR_MS + HOUR_MS;
    let mut all = Vec::new();
    for workspace in listed.workspaces {
        for channel in ["", "voice", "chat", "élan", "TC00000000000000000000000000000002"] {
            let request = v1::GetStatisticsRequest {
                workspace_sid: workspace.workspace_sid.clone(),
                task_channel: channel.to_owned(),
                start_time: Some(common::events::at(end - 23 * HOUR_MS)),
                end_time: Some(common::events::at(end)),
                split_by_wait_time: vec![1, 3, 5],
                ..v1::GetStatisticsRequest::default()
            };
            let mut found = client.statistics().get_statistics(request).await.unwrap().into_inner();
            found.url.clear();
            let realtime = found.realtime.as_mut().unwrap();
            (realtime.revision, realtime.as_of, realtime.longest_task_waiting_age) = (0, None, None);
            realtime.url.clear();
            let by_status = realtime.tasks_by_status.as_mut().unwrap();
            (by_status.completed, by_status.canceled) = (0, 0);
            let cumulative = found.cumulative.as_mut().unwrap();
            (cumulative.revision, cumulative.as_of) = (0, None);
            cumulative.url.clear();
            all.push(found);
        }
    }
    assert!(all.iter().any(|found| found.cumulative.as_ref().unwrap().tasks_created > 10));
    all
}

async fn statistics_of(dir: &Path) -> Vec<v1::WorkspaceStatistics> {
    let server = Launch::on(dir).with(RETENTION).start();
    statistics(&Client::to(&server).await).await
}

fn run(command: &str, dir: &Path, more: &[&str]) -> Ran {
    tasktally([command, dir.to_str().unwrap()].iter().chain(&RETENTION).chain(more))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_taken_in_again_gives_equal_statistics() {
    let dir = tokio::task::spawn_blocking(history).await.unwrap();
    let before = contents(dir.path());
    let file = dir.path().join("events.ndjson");
    let exported = run("export", dir.path(), &["--output", file.to_str().unwrap()]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    for said in ["not exported: what is carried over", "of workspaces forgotten later"] {
        assert!(exported.err.contains(said), "{exported:?}");
    }
    let lines = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(contents(dir.path()), before, "an export changes nothing");
    assert_eq!(run("export", dir.path(), &[]).well(), lines, "standard output is as good as a file");

    let empty = tempfile::tempdir().unwrap();
    let server = Launch::on(empty.path()).with(RETENTION).start();
    fs::write(&file, &lines).unwrap();
    tasktally(["ingest", file.to_str().unwrap(), "--address", &server.address]).well();
    fs::remove_file(&file).unwrap();
    let expected = statistics_of(dir.path()).await;
    assert_eq!(statistics(&Client::to(&server).await).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_does_not_agree_with_the_log_is_found_and_rebuilt() {
    let dir = tokio::task::spawn_blocking(history).await.unwrap();
    let expected = statistics_of(copied(dir.path()).path()).await;
    let before = contents(dir.path());
    let sound = run("verify", dir.path(), &[]).well();
    for said in ["nothing is damaged", "a start     takes the checkpoint"] {
        assert!(sound.contains(said), "{sound}");
    }
    assert_eq!(contents(dir.path()), before, "verify changes nothing");

    // The checkpoint of a history that differs in priorities alone.
    let other = tempfile::tempdir().unwrap();
    let path = other.path().to_owned();
    tokio::task::spawn_blocking(move || write_history(&path, 7)).await.unwrap();
    let checkpoint = checkpoint_of(dir.path());
    assert_eq!(checkpoint_of(other.path()), checkpoint);
    fs::copy(other.path().join(&checkpoint), dir.path().join(&checkpoint)).unwrap();
    let found = run("verify", dir.path(), &[]);
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.out.contains("do not agree") && found.out.contains("real-time figures differ"), "{found:?}");

    run("rebuild", dir.path(), &[]).well();
    assert_ne!(checkpoint_of(dir.path()), checkpoint, "it reaches to the end of the log");
    let sound = run("verify", dir.path(), &[]).well();
    assert!(sound.contains("and 0 events after it"), "{sound}");
    assert_eq!(statistics_of(dir.path()).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_named_and_what_is_safe_is_exported() {
    let dir = tokio::task::spawn_blocking(history).await.unwrap();
    let whole = run("export", dir.path(), &["--all"]).well().lines().count();
    let db = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    let (first, events): (i64, i64) = db
        .query_row("SELECT first, events FROM headers WHERE codec = 0 ORDER BY first DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    db.execute("UPDATE bodies SET body = zeroblob(length(body)) WHERE first = ?1", [first]).unwrap();
    drop(db);
    let named = format!("positions {first} to {}", first + events - 1);
    let found = run("verify", dir.path(), &[]);
    assert_eq!(found.code, Some(1), "{found:?}");
    let next = format!("export {} --all --skip-damaged", dir.path().display());
    let many = format!("wrong checksum: {events} event");
    for said in
        [&named[..], "a start     is refused", "1 finding of damage", &format!("-{}\n", first - 1), &next, &many]
    {
        assert!(found.out.contains(said), "{said:?} in {found:?}");
    }
    let stopped = run("export", dir.path(), &["--all"]);
    assert_eq!(stopped.code, Some(5), "{stopped:?}");
    assert!(stopped.err.contains(&named) && stopped.err.contains("--skip-damaged"), "{stopped:?}");
    assert_eq!(stopped.err.matches(&dir.path().display().to_string()).count(), 1, "named once: {stopped:?}");
    assert!(stopped.err.contains("restore a backup"), "{stopped:?}");
    let file = dir.path().join("part.ndjson");
    let stopped = run("export", dir.path(), &["--output", file.to_str().unwrap()]);
    assert!(stopped.code == Some(5) && !file.exists(), "{stopped:?}");
    let skipped = run("export", dir.path(), &["--all", "--skip-damaged"]);
    assert_eq!(skipped.code, Some(1), "{skipped:?}");
    assert!(skipped.err.contains(&named) && skipped.err.contains("1 damaged place skipped"), "{skipped:?}");
    assert_eq!(skipped.out.lines().count(), whole - events as usize);
    // What is there is not written over.
    fs::write(&file, "mine").unwrap();
    let stopped = run("export", dir.path(), &["--all", "--skip-damaged", "--output", file.to_str().unwrap()]);
    assert!(stopped.code == Some(5) && fs::read(&file).unwrap() == b"mine", "{stopped:?}");
    assert!(stopped.err.contains("choose another name"), "{stopped:?}");
    fs::remove_file(&file).unwrap();
    let before = contents(dir.path());
    let refused = run("rebuild", dir.path(), &[]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.err.contains(&named), "{refused:?}");
    let kept = contents(dir.path());
    assert_eq!(kept.get(&checkpoint_of(dir.path())), before.get(&checkpoint_of(dir.path())), "no checkpoint is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_or_not_there_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(dir.path()).start();
    for command in ["verify", "export", "rebuild"] {
        let refused = run(command, dir.path(), &[]);
        assert_eq!(refused.code, Some(5), "{refused:?}");
        assert!(refused.err.contains(&format!("in use by process {}", server.id())), "{refused:?}");
        assert!(refused.err.contains("tasktally backup"), "{refused:?}");
        let nowhere = run(command, &dir.path().join("nowhere"), &[]);
        assert_eq!(nowhere.code, Some(5), "{nowhere:?}");
        let expected = format!("error: {} is not a data directory: ", dir.path().join("nowhere").display());
        assert!(nowhere.err.contains(&expected), "{nowhere:?}");
        let empty = tempfile::tempdir().unwrap();
        let other = run(command, empty.path(), &[]);
        assert!(other.code == Some(5) && other.err.contains("there is no journal.db in it"), "{other:?}");
    }
    let backup = tasktally(["backup", dir.path().to_str().unwrap(), "--address", &server.address]);
    assert_eq!(backup.code, Some(5), "{backup:?}");
    let expected = format!("error: {} is there already: choose another name\n", dir.path().display());
    assert_eq!(backup.err, expected);
    assert!(!dir.path().join("nowhere").exists());
}
