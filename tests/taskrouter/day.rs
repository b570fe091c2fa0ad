//! A day of a simulated centre, sent three ways by the program itself, each time with a tenth of it twice and half of it up
//! to four hours late: the statistics are equal, to the last digit that each form carries.

use std::path::PathBuf;
use std::process::Command;

use tasktally::access::issue::{NewToken, new_token};
use tasktally::api::proto::v1;
use tasktally::cli::text::rfc3339;
use tasktally::simulate::{Centre, Settings, timestamp_ms};

use crate::common::calls::Client;
use crate::common::events::{at, now_ms};
use crate::common::people::{send, shown};
use crate::common::process::{Launch, Server};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
const SEED: u64 = 4;
const WORKSPACES: usize = 2;
const WORKERS: usize = 20;
const RATE: f64 = 0.01;
const HOUR_MS: i64 = 3_600_000;

/// The day that is over, to the second.
struct Day {
    start_ms: i64,
    end_ms: i64,
}

impl Day {
    fn until_now() -> Day {
        // Ended tasks show for five minutes after their end: here all of them have ended before that.
        let end_ms = (now_ms() / 1000 - 600) * 1000;
        Day { start_ms: end_ms - 24 * HOUR_MS, end_ms }
    }

    fn centre(&self) -> Centre {
        let settings =
            Settings { start_ms: self.start_ms, workspaces: WORKSPACES, workers: WORKERS, tasks_per_second: RATE };
        Centre::of_account(SEED, settings, Some(ACCOUNT.to_owned()))
    }

    fn events(&self) -> Vec<v1::Event> {
        self.centre().take_while(|event| timestamp_ms(event) < self.end_ms).collect()
    }
}

/// What the account signs with, and somebody who may ask and send by other ways.
struct Papers {
    dir: tempfile::TempDir,
    token: NewToken,
}

impl Papers {
    fn new() -> Papers {
        let papers = Papers { dir: tempfile::tempdir().unwrap(), token: new_token().unwrap() };
        let credentials = format!(
            "[[auth_token]]\nname = \"taskrouter\"\naccount = \"{ACCOUNT}\"\ntoken = \"{AUTH_TOKEN}\"\n\n\
             [[credential]]\nname = \"test\"\naccount = \"{ACCOUNT}\"\nroles = [\"read\", \"ingest\"]\n\
             sha256 = \"{}\"\n",
            papers.token.sha256
        );
        for (name, text) in
            [("credentials.toml", credentials.as_str()), ("auth-token", AUTH_TOKEN), ("token", &papers.token.token)]
        {
            std::fs::write(papers.file(name), text).unwrap();
        }
        papers
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.token)
    }
}

/// One of the servers that get the day.
struct Side {
    server: Server,
    client: Client,
}

impl Side {
    async fn of(papers: &Papers) -> Side {
        let server = Launch::ephemeral().with(["--credentials"]).with([papers.file("credentials.toml")]).start();
        let client = Client::to(&server).await;
        Side { server, client }
    }

    /// Has the day sent by the program in one form.
    fn simulate(&self, day: &Day, form: &str, shown: (&str, PathBuf)) {
        let number = |number: usize| number.to_string();
        let done = Command::new(env!("CARGO_BIN_EXE_tasktally"))
            .args(["simulate", "--address", &self.server.url(), "--as", form, "--account", ACCOUNT])
            .args(["--seed", &SEED.to_string(), "--workspaces", &number(WORKSPACES), "--workers", &number(WORKERS)])
            .args(["--rate", &RATE.to_string(), "--start", &rfc3339(day.start_ms), "--until", &rfc3339(day.end_ms)])
            .args(["--duplicates", "0.1", "--late", "0.5", "--late-by", "4h", "--batch", "50"])
            .arg(shown.0)
            .arg(shown.1)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "--as {form}: {said}");
        let told = String::from_utf8_lossy(&done.stdout).into_owned();
        let row = |name: &str| -> u64 {
            let line =
                told.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{told}"));
            line.split_whitespace().last().unwrap().replace(',', "").parse().unwrap()
        };
        assert_eq!(row("accepted"), day.events().len() as u64, "--as {form}: {told}");
        assert!(row("duplicates") > row("accepted") / 20 && row("rejected") == 0, "--as {form}: {told}");
    }

    /// Everything that can be asked about the day, without what tells the moment and the server.
    async fn answers(&self, papers: &Papers, day: &Day) -> Vec<v1::WorkspaceStatistics> {
        let mut answers = Vec::new();
        for workspace_sid in day.centre().workspace_sids() {
            let request = v1::ListTaskChannelsRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
            let listed = self.client.statistics().list_task_channels(shown(&papers.bearer(), request)).await;
            let mut channels = vec![String::new()];
            channels.extend(listed.unwrap().into_inner().task_channels.into_iter().map(|channel| channel.unique_name));
            assert!(channels.len() > 2, "{channels:?}");
            for task_channel in channels {
                for (from, to) in [(0, 24), (7, 8), (13, 21)] {
                    let request = v1::GetStatisticsRequest {
                        workspace_sid: workspace_sid.clone(),
                        task_channel: task_channel.clone(),
                        minutes: None,
                        start_time: Some(at(day.start_ms + from * HOUR_MS)),
                        end_time: Some(at(day.start_ms + to * HOUR_MS)),
                        split_by_wait_time: vec![1, 5, 20, 60, 300, 3600],
                    };
                    let answer = self.client.statistics().get_statistics(shown(&papers.bearer(), request)).await;
                    answers.push(timeless(answer.unwrap().into_inner()));
                }
            }
        }
        answers
    }
}

/// Without the moment, the revision and the server's address.
fn timeless(mut statistics: v1::WorkspaceStatistics) -> v1::WorkspaceStatistics {
    statistics.url.clear();
    let realtime = statistics.realtime.as_mut().unwrap();
    (realtime.revision, realtime.as_of, realtime.longest_task_waiting_age) = (0, None, None);
    realtime.url.clear();
    let cumulative = statistics.cumulative.as_mut().unwrap();
    (cumulative.revision, cumulative.as_of) = (0, None);
    cumulative.url.clear();
    statistics
}

/// Without what the digits of creation times decide.
fn counts(mut statistics: v1::WorkspaceStatistics) -> v1::WorkspaceStatistics {
    let realtime = statistics.realtime.as_mut().unwrap();
    (realtime.longest_task_waiting_since, realtime.longest_task_waiting_sid) = (None, String::new());
    let cumulative = statistics.cumulative.as_mut().unwrap();
    cumulative.avg_task_acceptance_time = None;
    for waits in [&mut cumulative.wait_duration_until_accepted, &mut cumulative.wait_duration_until_canceled] {
        let count = waits.as_ref().unwrap().count;
        *waits = Some(v1::WaitDuration { count, ..v1::WaitDuration::default() });
    }
    cumulative.split_by_wait_time.clear();
    statistics
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_sent_three_ways_gives_equal_statistics() {
    let (papers, day) = (Papers::new(), Day::until_now());
    let (grpc, streams) = (Side::of(&papers).await, Side::of(&papers).await);
    let (callbacks, seconds) = (Side::of(&papers).await, Side::of(&papers).await);
    tokio::task::block_in_place(|| {
        grpc.simulate(&day, "grpc", ("--token-file", papers.file("token")));
        streams.simulate(&day, "streams", ("--auth-token-file", papers.file("auth-token")));
        callbacks.simulate(&day, "callbacks", ("--auth-token-file", papers.file("auth-token")));
    });
    // A callback tells when its task was created to the second: so does this server's day.
    let mut events = day.events();
    for event in &mut events {
        if let Some(created) = event.task.as_mut().and_then(|task| task.date_created.as_mut()) {
            created.nanos = 0;
        }
    }
    for batch in events.chunks(1000) {
        let answer = send(&seconds.client, &papers.bearer(), batch.to_vec()).await;
        assert_eq!(answer.accepted as usize, batch.len(), "{answer:?}");
    }

    let over_grpc = grpc.answers(&papers, &day).await;
    let created: i64 = over_grpc.iter().map(|answer| answer.cumulative.as_ref().unwrap().tasks_created).sum();
    assert!(created > 1_000, "{created} tasks over all answers");
    assert_eq!(over_grpc, streams.answers(&papers, &day).await, "Event Streams carry milliseconds");
    let by_callbacks = callbacks.answers(&papers, &day).await;
    assert_eq!(by_callbacks, seconds.answers(&papers, &day).await, "callbacks carry seconds of creation");
    let only_counts = |answers: Vec<v1::WorkspaceStatistics>| answers.into_iter().map(counts).collect::<Vec<_>>();
    assert_eq!(only_counts(over_grpc), only_counts(by_callbacks), "what is counted does not hang on them");
    for side in [grpc, streams, callbacks, seconds] {
        side.server.stop();
    }
}
