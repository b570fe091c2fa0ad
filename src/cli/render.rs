//! Statistics as text for people.

use std::fmt::Write as _;

use super::text::{Clock, count, duration, printable, table};
use crate::api::proto::v1::{
    WaitDuration, WaitTimeCounts, Workspace, WorkspaceCumulativeStatistics, WorkspaceRealtimeStatistics,
};

/// What is: tasks and workers now. The channel is the one that was asked for, empty for all.
pub fn realtime(statistics: &WorkspaceRealtimeStatistics, channel: &str, clock: Clock) -> String {
    let mut text = heading(&statistics.workspace_sid, &statistics.account_sid, channel);
    let _ = writeln!(text, "As of {}, revision {}\n", clock.show(statistics.as_of), statistics.revision);
    text.push_str(&tasks_now(statistics, clock));
    text.push('\n');
    text.push_str(&workers_now(statistics));
    text
}

/// What was: the counts and waits of an interval. The channel likewise.
pub fn cumulative(statistics: &WorkspaceCumulativeStatistics, channel: &str, clock: Clock) -> String {
    let mut text = heading(&statistics.workspace_sid, &statistics.account_sid, channel);
    let _ = writeln!(text, "As of {}, revision {}\n", clock.show(statistics.as_of), statistics.revision);
    text.push_str(&interval(statistics, clock));
    text
}

fn heading(workspace: &str, account: &str, channel: &str) -> String {
    let mut text = format!("Workspace {}  (account {})\n", printable(workspace), printable(account));
    if !channel.is_empty() {
        let _ = writeln!(text, "Channel {}", printable(channel));
    }
    text
}

fn tasks_now(statistics: &WorkspaceRealtimeStatistics, clock: Clock) -> String {
    let by_status = statistics.tasks_by_status.unwrap_or_default();
    let mut rows = vec![row("active", statistics.total_tasks)];
    for (name, tasks) in [
        ("  pending", by_status.pending),
        ("  reserved", by_status.reserved),
        ("  assigned", by_status.assigned),
        ("  wrapping", by_status.wrapping),
        ("completed, last 5 min", by_status.completed),
        ("canceled, last 5 min", by_status.canceled),
    ] {
        rows.push(row(name, tasks));
    }
    for (priority, &tasks) in statistics.tasks_by_priority.iter().rev() {
        rows.push(row(&format!("priority {priority}"), tasks));
    }
    let mut text = format!("Tasks now\n{}", table(&rows));
    if statistics.longest_task_waiting_sid.is_empty() {
        text.push_str("  nobody waits\n");
    } else {
        let _ = writeln!(
            text,
            "  longest wait {}: {} since {}",
            duration(statistics.longest_task_waiting_age),
            printable(&statistics.longest_task_waiting_sid),
            clock.show(statistics.longest_task_waiting_since)
        );
    }
    text
}

fn workers_now(statistics: &WorkspaceRealtimeStatistics) -> String {
    let mut rows = vec![row("all", statistics.total_workers)];
    for activity in &statistics.activity_statistics {
        let name = if activity.friendly_name.is_empty() { &activity.sid } else { &activity.friendly_name };
        rows.push(row(&format!("  {}", printable(name)), activity.workers));
    }
    format!("Workers now\n{}", table(&rows))
}

/// The figures of an interval, under a line that states it.
pub fn interval(statistics: &WorkspaceCumulativeStatistics, clock: Clock) -> String {
    let mut text = format!("From {} until {}\n", clock.show(statistics.start_time), clock.show(statistics.end_time));
    text.push_str(&table(&[
        row("tasks created", statistics.tasks_created),
        row("tasks completed", statistics.tasks_completed),
        row("tasks canceled", statistics.tasks_canceled),
        row("tasks deleted", statistics.tasks_deleted),
        row("tasks moved", statistics.tasks_moved),
        row("tasks timed out in workflow", statistics.tasks_timed_out_in_workflow),
        row("reservations created", statistics.reservations_created),
        row("reservations accepted", statistics.reservations_accepted),
        row("reservations rejected", statistics.reservations_rejected),
        row("reservations timed out", statistics.reservations_timed_out),
        row("reservations canceled", statistics.reservations_canceled),
        row("reservations rescinded", statistics.reservations_rescinded),
    ]));
    text.push_str("\nWaits\n");
    text.push_str(&table(&[
        ["", "count", "avg", "min", "max", "total"].map(str::to_owned).to_vec(),
        waits("until accepted", statistics.wait_duration_until_accepted.as_ref()),
        waits("until canceled", statistics.wait_duration_until_canceled.as_ref()),
    ]));
    if !statistics.split_by_wait_time.is_empty() {
        text.push_str("\nWaits split\n");
        text.push_str(&splits(statistics));
    }
    text
}

fn waits(name: &str, waits: Option<&WaitDuration>) -> Vec<String> {
    let waits = waits.cloned().unwrap_or_default();
    // Without samples there is no shortest wait that could be shown.
    let show = |value| if waits.count == 0 { "-".to_owned() } else { duration(value) };
    vec![name.to_owned(), count(waits.count), show(waits.avg), show(waits.min), show(waits.max), show(waits.total)]
}

fn splits(statistics: &WorkspaceCumulativeStatistics) -> String {
    let mut rows = vec![["", "accepted", "", "canceled", ""].map(str::to_owned).to_vec()];
    for (threshold, split) in &statistics.split_by_wait_time {
        let (below, above) = (split.below.unwrap_or_default(), split.above.unwrap_or_default());
        let span = prost_types::Duration { seconds: i64::from(*threshold), nanos: 0 };
        let accepted = |counts: WaitTimeCounts| counts.reservations_accepted;
        let canceled = |counts: WaitTimeCounts| counts.tasks_canceled;
        rows.push(vec![
            format!("under {}", duration(Some(span))),
            count(accepted(below)),
            share(accepted(below), accepted(above)),
            count(canceled(below)),
            share(canceled(below), canceled(above)),
        ]);
    }
    table(&rows)
}

/// The share that is below, in percent to one digit; a dash of nothing.
fn share(below: i64, above: i64) -> String {
    let all = i128::from(below) + i128::from(above);
    if all <= 0 {
        return "-".to_owned();
    }
    let per_mille = i128::from(below) * 1000 / all;
    format!("{}.{}%", per_mille / 10, per_mille % 10)
}

/// The workspaces to choose from, and how to ask for one; `flags` are those of the connection.
pub fn choice(workspaces: &[Workspace], more: bool, flags: &str) -> String {
    if workspaces.is_empty() {
        return format!(
            "The server knows no workspace yet. Send it events, or try: tasktally simulate --backfill 1h{flags}\n"
        );
    }
    let mut text = format!("  {:<34}  {}\n", "WORKSPACE", "ACCOUNT");
    for workspace in workspaces {
        let (sid, account) = (printable(&workspace.workspace_sid), printable(&workspace.account_sid));
        let _ = writeln!(text, "  {sid:<34}  {account}");
    }
    if more {
        text.push_str("  … and more\n");
    }
    let _ = writeln!(text, "\nAsk for one: tasktally get{flags} {}", printable(&workspaces[0].workspace_sid));
    text
}

/// The state in one line, for a log of a watch.
pub fn realtime_line(statistics: &WorkspaceRealtimeStatistics, clock: Clock) -> String {
    let by_status = statistics.tasks_by_status.unwrap_or_default();
    let mut line = format!(
        "{} revision={} tasks={} pending={} reserved={} assigned={} wrapping={} completed={} canceled={}",
        clock.show(statistics.as_of),
        statistics.revision,
        statistics.total_tasks,
        by_status.pending,
        by_status.reserved,
        by_status.assigned,
        by_status.wrapping,
        by_status.completed,
        by_status.canceled,
    );
    let longest = duration(statistics.longest_task_waiting_age);
    let _ = write!(line, " workers={} longest_wait={}", statistics.total_workers, longest.replace(' ', ""));
    line
}

fn row(name: &str, number: i64) -> Vec<String> {
    vec![name.to_owned(), count(number)]
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
