//! `tasktally import-taskrouter`, from a server that pages, limits and fails, gives what the same events give over gRPC.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tasktally::api::proto::v1::{self, EventType, TaskAssignmentStatus as Status};

use super::common::calls::Client;
use super::common::events::{ACCOUNT, at, bare, now_ms, sid, task, worker};
use super::common::process::{Launch, Server};
use super::common::{eventually_blocking, in_time};
use super::source::{Fault, Source, TOKEN};

const HOUR_MS: i64 = 3_600_000;

/// Tasks evenly over the hours before `end_ms`, each with its whole life; numbered from `first`.
fn lives(workspace: &str, first: u64, tasks: u64, hours: i64, end_ms: i64) -> Vec<v1::Event> {
    let step = (hours * HOUR_MS - 120_000) / tasks as i64;
    let start = end_ms - hours * HOUR_MS;
    let steps = |number: u64| {
        // Creation is a whole second, as TaskRouter's times of creation are.
        let created = (start + (number - first) as i64 * step).div_euclid(1000) * 1000;
        let end = if number.is_multiple_of(7) { EventType::TaskCanceled } else { EventType::TaskCompleted };
        let wait = 1_234 + (number % 50) as i64 * 777;
        let steps = [
            (EventType::TaskCreated, Status::Pending, 0),
            (EventType::ReservationCreated, Status::Reserved, wait / 2),
            (EventType::ReservationAccepted, Status::Assigned, wait),
            (end, if number.is_multiple_of(7) { Status::Canceled } else { Status::Completed }, wait + 30_001),
        ];
        steps
            .into_iter()
            .enumerate()
            .map(move |(place, (kind, status, after_ms))| (place as u64, kind, status, created, after_ms))
    };
    let event = |number: u64, (place, kind, status, created, after_ms): (u64, EventType, Status, i64, i64)| {
        let channel = ["voice", "chat"][(number % 2) as usize];
        let reserves = matches!(kind, EventType::ReservationCreated | EventType::ReservationAccepted);
        v1::Event {
            task: Some(v1::Task { priority: (number % 3) as i32, ..task(number, status, created, channel) }),
            reservation: reserves.then(|| v1::Reservation { sid: sid("WR", number), version: 0 }),
            ..bare(number * 4 + place, kind, workspace, created + after_ms)
        }
    };
    (first..first + tasks)
        .flat_map(|number| steps(number).map(move |step| (number, step)))
        // The last ones are still under way.
        .filter(|(number, step)| *number + 5 < first + tasks || step.0 < number % 3 + 1)
        .map(|(number, step)| event(number, step))
        .collect()
}

fn history(workspace: &str, end_ms: i64) -> Vec<v1::Event> {
    let mut events = lives(workspace, 1, 300, 60, end_ms - HOUR_MS);
    events.extend((1..=12).map(|number| worker(number + 900_000, workspace, end_ms - 50 * HOUR_MS, number % 3)));
    events
}

/// What a server says of a workspace, but for what differs between two servers that know the same.
async fn told(server: &Server, workspace: &str, end_ms: i64) -> String {
    let client = Client::to(server).await;
    let mut told = String::new();
    for (hours, split) in [(61, vec![5, 20]), (24, vec![10]), (2, vec![])] {
        let mut cumulative = client
            .cumulative(v1::GetCumulativeRequest {
                workspace_sid: workspace.to_owned(),
                start_time: Some(at(end_ms - hours * HOUR_MS)),
                end_time: Some(at(end_ms + 60_000)),
                split_by_wait_time: split,
                ..Default::default()
            })
            .await
            .unwrap();
        (cumulative.url, cumulative.revision, cumulative.as_of) = (String::new(), 0, None);
        told += &format!("{cumulative:?}\n");
    }
    for channel in ["", "voice", "chat"] {
        let mut now = client.realtime(workspace, channel).await.unwrap();
        (now.url, now.revision, now.as_of, now.longest_task_waiting_age) = (String::new(), 0, None, None);
        told += &format!("{now:?}\n");
    }
    told
}

fn command(source: &Source, server: &Server, workspaces: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasktally"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TASKTALLY_")) {
        command.env_remove(name);
    }
    command.arg("import-taskrouter").args(workspaces).args(["--base-url", &source.url, "--account-sid", ACCOUNT]);
    command.args(["--address", &server.address, "--since", "3d"]).env("TWILIO_AUTH_TOKEN", TOKEN);
    command.env_remove("TWILIO_API_KEY").env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end while the source goes on answering.
async fn run(mut command: Command) -> Output {
    let child = command.spawn().unwrap();
    in_time("the end of an import", tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()))
        .await
        .unwrap()
}

#[track_caller]
fn went(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

fn every_fault() -> Vec<Fault> {
    vec![
        Fault::TooMany { retry_after: None },
        Fault::Broken,
        Fault::TooMany { retry_after: Some("1") },
        Fault::Cut,
        Fault::Stalled,
        Fault::Broken,
        Fault::Cut,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn before_during_or_after_the_live_events_an_import_gives_what_grpc_gives() {
    let workspace = sid("WS", 1);
    let end_ms = now_ms();
    let history = history(&workspace, end_ms);
    let live = lives(&workspace, 5_000, 60, 1, end_ms);
    let whole = Launch::ephemeral().start();
    let client = Client::to(&whole).await;
    client.accept(history.clone()).await;
    client.accept(live.clone()).await;
    let expected = told(&whole, &workspace, end_ms).await;

    for order in ["before", "during", "after"] {
        let source = Source::start().await;
        source.know(history.clone());
        source.go_wrong_now_and_then(every_fault());
        let server = Launch::ephemeral().start();
        let client = Client::to(&server).await;
        let mut import = command(&source, &server, &[&workspace]);
        import.args([
            "--page-size",
            "50",
            "--window",
            "2h",
            "--page-timeout",
            "1s",
            "--max-requests-per-second",
            "500",
        ]);
        match order {
            "before" => {
                went(&run(import).await, 0);
                client.accept(live.clone()).await;
            }
            "after" => {
                source.know(live.clone());
                client.accept(live.clone()).await;
                went(&run(import).await, 0);
            }
            _ => {
                // Each becomes known to the API while pages are read, and comes in live as well.
                source.arrive(live.clone());
                let sender = client.clone();
                let of_live = live.clone();
                let sending = tokio::spawn(async move {
                    for event in of_live {
                        sender.send(vec![event]).await.unwrap();
                    }
                });
                went(&run(import).await, 0);
                sending.await.unwrap();
                assert!(source.still_arriving() < live.len(), "some came while it was read");
            }
        }
        assert_eq!(told(&server, &workspace, end_ms).await, expected, "{order}");
        let asked = source.asked();
        assert!([200, 429, 500].iter().all(|status| asked.iter().any(|asked| asked.status == *status)), "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let resume = dir.path().join("import.json");
    let (workspace, other) = (sid("WS", 1), sid("WS", 2));
    let end_ms = now_ms();
    let source = Source::start().await;
    source.know(history(&workspace, end_ms));
    source.know(lives(&other, 20_000, 20, 10, end_ms));
    let server = Launch::ephemeral().start();
    let import = || {
        let mut import = command(&source, &server, &[&workspace, &other]);
        import.args(["--page-size", "100", "--window", "1h"]).arg("--resume").arg(&resume);
        import
    };
    let mut slow = import();
    let mut killed: Child = slow.args(["--max-requests-per-second", "20"]).spawn().unwrap();
    let begun_s = eventually_blocking("the file is there", || done_s(&resume, 0));
    let done = tokio::task::spawn_blocking({
        let resume = resume.clone();
        move || {
            let done =
                eventually_blocking("some windows are done", || done_s(&resume, 0).filter(|done| *done > begun_s));
            killed.kill().unwrap();
            killed.wait().unwrap();
            done
        }
    });
    done.await.unwrap();
    let done = done_s(&resume, 0).expect("the file is whole after a kill");
    let first_run = source.asked();
    assert!(first_run.iter().any(|asked| asked.start_s < done));

    let (_, err) = went(&run(import()).await, 0);
    assert!(err.contains("events accepted"), "{err}");
    // Of the first workspace nothing is read that was done; the other one was not begun.
    let again: Vec<i64> =
        source.asked().into_iter().filter(|asked| asked.sid == workspace).map(|asked| asked.start_s).collect();
    assert!(!again.is_empty() && again.iter().all(|start| *start >= done), "done until {done}: {again:?}");
    let whole = Launch::ephemeral().start();
    let client = Client::to(&whole).await;
    client.accept(history(&workspace, end_ms)).await;
    client.accept(lives(&other, 20_000, 20, 10, end_ms)).await;
    for workspace in [&workspace, &other] {
        assert_eq!(told(&server, workspace, end_ms).await, told(&whole, workspace, end_ms).await);
    }

    // Finished: from there until now, which is a request each.
    went(&run(import()).await, 0);
    assert!(source.asked().len() <= 4, "what is done is not read again");
    let other_server = Launch::ephemeral().start();
    let mut elsewhere = command(&source, &other_server, &[&workspace]);
    elsewhere.arg("--resume").arg(&resume);
    let (_, err) = went(&run(elsewhere).await, 2);
    assert!(err.contains("--resume") && err.contains("--address"), "{err}");
}

/// How far the file says that its first workspaces are.
fn done_s(resume: &Path, workspace: usize) -> Option<i64> {
    let text = std::fs::read_to_string(resume).ok()?;
    let state: serde_json::Value = serde_json::from_str(&text).expect("the file is whole whenever it is read");
    state["workspaces"][workspace]["done_s"].as_i64()
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_are_honoured() {
    let workspace = sid("WS", 1);
    let source = Source::start().await;
    source.know(lives(&workspace, 1, 20, 10, now_ms()));
    source.go_wrong([Fault::TooMany { retry_after: Some("2") }]);
    let server = Launch::ephemeral().start();
    let mut import = command(&source, &server, &[&workspace]);
    import.args(["--window", "24h", "--max-requests-per-second", "4", "--page-size", "10"]);
    let started = Instant::now();
    went(&run(import).await, 0);
    let took = started.elapsed();
    let asked = source.asked();
    let waited = asked[1].at - asked[0].at;
    assert!(asked[0].status == 429 && waited >= Duration::from_secs(2), "asked to wait 2 s, waited {waited:?}");
    let least = Duration::from_millis(250) * (asked.len() as u32 - 2);
    assert!(asked.len() >= 8 && took >= least, "{} requests in {took:?}, 4 a second at most", asked.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_stays_shallow_where_much_happened() {
    let workspace = sid("WS", 1);
    let source = Source::start().await;
    // All within an hour, beyond what can be paged into.
    source.know(lives(&workspace, 1, 2_000, 1, now_ms()));
    let server = Launch::ephemeral().start();
    let mut import = command(&source, &server, &[&workspace]);
    import.args(["--page-size", "50", "--max-requests-per-second", "500"]);
    let (_, err) = went(&run(import).await, 0);
    let deepest = source.asked().iter().map(|asked| asked.page).max().unwrap();
    assert!(deepest <= 8, "page {deepest} of {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_events_are_told_and_a_dry_run_sends_nothing() {
    let workspace = sid("WS", 1);
    let now = now_ms();
    let source = Source::start().await;
    source.know(lives(&workspace, 1, 20, 10, now));
    let foreign =
        v1::Event { account_sid: sid("AC", 7), ..bare(77_777, EventType::WorkspaceCreated, &workspace, now - 1_000) };
    source.know([foreign]);
    let times = json!({"workspace_sid": workspace, "event_date_ms": now - 2_000, "account_sid": ACCOUNT});
    let with = |fields: serde_json::Value| {
        let mut resource = times.clone();
        resource.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        resource
    };
    source.know_resource(with(
        json!({"sid": sid("EV", 1), "event_type": "task.created", "event_data": {"task_sid": "WT1"}}),
    ));
    source.know_resource(with(json!({"sid": sid("EV", 2), "event_type": "task.polished"})));
    let server = Launch::ephemeral().start();
    let mut dry = command(&source, &server, &[&workspace]);
    let (out, err) = went(
        &run({
            dry.arg("--dry-run");
            dry
        })
        .await,
        1,
    );
    assert!(out.contains("MISSING_FIELD") && out.contains("UNKNOWN_TYPE"), "{out}");
    assert!(err.contains("3 would be refused"), "{err}");
    let client = Client::to(&server).await;
    assert_eq!(client.realtime(&workspace, "").await.unwrap_err().code(), tonic::Code::NotFound, "nothing was sent");

    let (out, err) = went(&run(command(&source, &server, &[&workspace])).await, 1);
    assert_eq!(out.lines().count(), 3, "{out}");
    for (event, reason) in [(77_777, "ACCOUNT_MISMATCH"), (1, "MISSING_FIELD"), (2, "UNKNOWN_TYPE")] {
        assert!(
            out.lines().any(|line| line.starts_with(&sid("EV", event)) && line.contains(reason)),
            "{reason}: {out}"
        );
    }
    assert!(err.contains(", 3 refused"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_told_at_once_and_what_does_not_pass_in_the_end() {
    let workspace = sid("WS", 1);
    let source = Source::start().await;
    let elsewhere = Source::start().await;
    let server = Launch::ephemeral().start();
    let mut wrong = command(&source, &server, &[&workspace]);
    wrong.env("TWILIO_AUTH_TOKEN", "wrong");
    let (_, err) = went(&run(wrong).await, 6);
    assert!(err.contains("401") && err.contains("TWILIO_AUTH_TOKEN"), "{err}");
    assert_eq!(source.asked().len(), 1, "not asked twice");

    let (_, err) = went(&run(command(&source, &server, &[&sid("WS", 0xffff)])).await, 3);
    assert!(err.contains("404") && err.contains("20404"), "{err}");

    source.go_wrong([Fault::NextAt(format!("{}/v1/Workspaces/{workspace}/Events", elsewhere.url))]);
    let (_, err) = went(&run(command(&source, &server, &[&workspace])).await, 3);
    assert!(err.contains("next page elsewhere"), "{err}");
    assert_eq!(elsewhere.requests(), 0, "the token went nowhere else");

    source.go_wrong(std::iter::repeat_n(Fault::Broken, 100));
    let mut impatient = command(&source, &server, &[&workspace]);
    let (_, err) = went(
        &run({
            impatient.args(["--patience", "1s"]);
            impatient
        })
        .await,
        4,
    );
    assert!(err.contains("gave up") && err.contains("500") && !err.contains(&server.address), "{err}");

    let mut nameless = command(&source, &server, &[&workspace]);
    let (_, err) = went(
        &run({
            nameless.env_remove("TWILIO_AUTH_TOKEN");
            nameless
        })
        .await,
        2,
    );
    assert!(err.contains("--auth-token-file"), "{err}");
}
