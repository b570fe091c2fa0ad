//! `tasktally status`: how a server is, for who runs it.

use std::fmt::Write as _;

use prost_types::{Duration, Timestamp};

use super::args::{Output, StatusArgs};
use super::client::{Server, answer};
use super::failure::Failure;
use super::json;
use super::text::{Clock, bytes, count, counted, duration, table};
use crate::api::proto::v1::{DiskStatus, GetStatusRequest, LimitStatus, ServerStatus};

/// From here on a bound is near.
const NEAR_PERCENT: i64 = 80;

/// What to print.
pub async fn run(args: StatusArgs) -> Result<String, Failure> {
    let server = Server::new(&args.connection)?;
    let request = GetStatusRequest { workspaces: args.workspaces };
    let status = answer(server.admin().get_status(server.request(request)).await)?;
    match args.display.output {
        Output::Json => Ok(json::line("ServerStatus", &status)? + "\n"),
        Output::Text => Ok(text(&status, &args.connection.address, Clock::new(args.display.utc))),
    }
}

fn text(status: &ServerStatus, address: &str, clock: Clock) -> String {
    let since = |at: Option<Timestamp>| between(at, status.as_of);
    let mut text = format!(
        "tasktally {} at {address}, up {} since {}\n\n",
        status.version,
        duration(since(status.started_at)),
        clock.show(status.started_at)
    );
    let journal = if status.journal_writable { "writable" } else { "NOT WRITABLE: no events are taken" };
    let newest = match status.newest_event_at {
        Some(_) => format!(", the newest {} old", duration(since(status.newest_event_at))),
        None => String::new(),
    };
    let mut line = |name: &str, what: String| {
        let _ = writeln!(text, "  {name:<11} {what}");
    };
    line("revision", count(status.revision));
    line("journal", journal.to_owned());
    line(
        "events",
        format!(
            "{} of the last {}, {} of memory{newest}",
            count(status.retained_events),
            duration(status.retention),
            bytes(status.retained_bytes)
        ),
    );
    line(
        "since start",
        format!(
            "{} accepted, {} of them late, {} duplicate",
            count(status.events_accepted),
            count(status.events_late),
            count(status.events_duplicate)
        ),
    );
    line(
        "now",
        format!(
            "{} and {} in {}, {}",
            counted(status.active_tasks.unsigned_abs(), "active task"),
            counted(status.workers.unsigned_abs(), "worker"),
            counted(status.workspaces.unsigned_abs(), "workspace"),
            counted(status.watchers.unsigned_abs(), "watcher")
        ),
    );
    match &status.disk {
        Some(disk) => {
            line("checkpoint", checkpoint(disk, status.revision));
            line("disk", space(disk));
        }
        None => line("disk", "none: --ephemeral".to_owned()),
    }
    text + &limits(&status.limits) + &workspaces(status)
}

fn checkpoint(disk: &DiskStatus, revision: i64) -> String {
    match disk.checkpoint_age {
        None => "none yet: a start reads the whole journal".to_owned(),
        age => format!(
            "{} ago, {} since",
            duration(age),
            counted((revision - disk.checkpoint_revision).unsigned_abs(), "event")
        ),
    }
}

fn space(disk: &DiskStatus) -> String {
    let free = disk.free_bytes.map_or(String::new(), |free| format!(", {} free", bytes(free)));
    format!("journal {}, checkpoints {}{free}", bytes(disk.journal_bytes), bytes(disk.checkpoint_bytes))
}

/// The bounds that are near, else the fullest one.
fn limits(limits: &[LimitStatus]) -> String {
    let percent = |limit: &LimitStatus| limit.used.saturating_mul(100) / limit.limit_value.max(1);
    let row = |limit: &LimitStatus| {
        let of = [&limit.workspace_sid, &limit.account_sid].into_iter().find(|sid| !sid.is_empty());
        let of = of.map_or(String::new(), |sid| format!("  {sid}"));
        vec![
            format!("--{}", limit.limit.replace('_', "-")),
            count(limit.used),
            format!("of {}", count(limit.limit_value)),
            format!("{} %{of}", percent(limit)),
        ]
    };
    let near: Vec<Vec<String>> = limits.iter().filter(|limit| percent(limit) >= NEAR_PERCENT).map(row).collect();
    if !near.is_empty() {
        return format!("\nlimits that are near\n{}", table(&near));
    }
    let fullest = limits.first().map_or(String::new(), |limit| {
        format!("; the fullest is --{} with {} %", limit.limit.replace('_', "-"), percent(limit))
    });
    format!("  {:<11} none is near{fullest}\n", "limits")
}

fn workspaces(status: &ServerStatus) -> String {
    if status.largest_workspaces.is_empty() {
        return String::new();
    }
    let head = ["largest workspaces", "events", "active tasks", "workers"].map(str::to_owned).to_vec();
    let rows = status.largest_workspaces.iter().map(|size| {
        let numbers = [size.retained_events, size.active_tasks, size.workers].map(count);
        [&[size.workspace_sid.clone()][..], &numbers].concat()
    });
    format!("\n{}", table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
}

/// From one moment to another.
fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<Duration> {
    let ms = |at: Timestamp| at.seconds * 1_000 + i64::from(at.nanos / 1_000_000);
    let ms = (ms(to?) - ms(from?)).max(0);
    Some(Duration { seconds: ms / 1_000, nanos: (ms % 1_000) as i32 * 1_000_000 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, used: i64, workspace: &str) -> LimitStatus {
        LimitStatus {
            limit: name.to_owned(),
            used,
            limit_value: 100,
            workspace_sid: workspace.to_owned(),
            ..LimitStatus::default()
        }
    }

    #[test]
    fn a_bound_is_told_from_four_fifths_on() {
        let told = limits(&[limit("max_watchers", 80, ""), limit("max_tasks_per_workspace", 79, "WS1")]);
        assert!(told.contains("--max-watchers") && told.contains("80 of 100") | told.contains("80  of 100"), "{told}");
        assert!(!told.contains("tasks-per-workspace"), "{told}");
        let quiet = limits(&[limit("max_watchers", 79, "")]);
        assert!(quiet.contains("none is near") && quiet.contains("--max-watchers with 79 %"), "{quiet}");
    }

    #[test]
    fn what_is_wrong_is_told_in_capitals_and_what_is_absent_in_words() {
        let status = ServerStatus { disk: Some(DiskStatus::default()), ..ServerStatus::default() };
        let told = text(&status, "http://localhost:1", Clock::Utc);
        assert!(told.contains("NOT WRITABLE") && told.contains("none yet"), "{told}");
        let told = text(&ServerStatus::default(), "http://localhost:1", Clock::Utc);
        assert!(told.contains("none: --ephemeral") && !told.contains("newest"), "{told}");
    }
}
