use std::collections::BTreeMap;

use prost_types::{Duration, Timestamp};

use super::*;
use crate::api::proto::v1::{ActivityStatistics, TasksByStatus, WaitTimeSplit};

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_790_000_000 + seconds, nanos: 0 })
}

fn span(seconds: i64, nanos: i32) -> Option<Duration> {
    Some(Duration { seconds, nanos })
}

fn state() -> WorkspaceRealtimeStatistics {
    let activity = |sid: &str, name: &str, workers| ActivityStatistics {
        sid: sid.to_owned(),
        friendly_name: name.to_owned(),
        workers,
    };
    WorkspaceRealtimeStatistics {
        account_sid: "AC1".to_owned(),
        workspace_sid: "WS1".to_owned(),
        activity_statistics: vec![activity("WA1", "Available", 1_200), activity("WA2", "", 3)],
        longest_task_waiting_age: span(83, 500_000_000),
        longest_task_waiting_sid: "WT1".to_owned(),
        longest_task_waiting_since: at(-83),
        tasks_by_priority: BTreeMap::from([(-5, 2), (10, 1)]),
        tasks_by_status: Some(TasksByStatus { pending: 3, completed: 40, ..TasksByStatus::default() }),
        total_tasks: 3,
        total_workers: 1_203,
        revision: 77,
        as_of: at(0),
        ..WorkspaceRealtimeStatistics::default()
    }
}

#[test]
fn the_state_is_two_tables() {
    assert_eq!(
        realtime(&state(), "", Clock::Utc),
        "\
Workspace WS1  (account AC1)
As of 2026-09-21 14:13:20 UTC, revision 77

Tasks now
  active                  3
    pending               3
    reserved              0
    assigned              0
    wrapping              0
  completed, last 5 min  40
  canceled, last 5 min    0
  priority 10             1
  priority -5             2
  longest wait 1m 23s: WT1 since 2026-09-21 14:11:57 UTC

Workers now
  all          1,203
    Available  1,200
    WA2            3
"
    );
}

#[test]
fn a_workspace_where_nobody_waits_says_so() {
    let text = realtime(&WorkspaceRealtimeStatistics::default(), "", Clock::Utc);
    assert!(text.contains("nobody waits") && !text.contains("longest wait"), "{text}");
}

#[test]
fn the_interval_shows_counts_waits_and_splits() {
    let counts = |tasks_canceled, reservations_accepted| Some(WaitTimeCounts { tasks_canceled, reservations_accepted });
    let split = WaitTimeSplit { above: counts(0, 1), below: counts(0, 2) };
    let statistics = WorkspaceCumulativeStatistics {
        start_time: at(-900),
        end_time: at(0),
        tasks_created: 1_234,
        reservations_accepted: 3,
        wait_duration_until_accepted: Some(WaitDuration {
            avg: span(4, 250_000_000),
            min: span(0, 0),
            max: span(83, 0),
            total: span(7_500, 0),
            count: 3,
        }),
        split_by_wait_time: BTreeMap::from([(5, split)]),
        as_of: at(0),
        ..WorkspaceCumulativeStatistics::default()
    };
    let text = cumulative(&statistics, "voice", Clock::Utc);
    let (heading, figures) = text.split_once("\n\n").unwrap();
    assert!(heading.contains("\nChannel voice\nAs of "), "{heading}");
    assert_eq!(
        figures,
        "\
From 2026-09-21 13:58:20 UTC until 2026-09-21 14:13:20 UTC
  tasks created                1,234
  tasks completed                  0
  tasks canceled                   0
  tasks deleted                    0
  tasks moved                      0
  tasks timed out in workflow      0
  reservations created             0
  reservations accepted            3
  reservations rejected            0
  reservations timed out           0
  reservations canceled            0
  reservations rescinded           0

Waits
                  count   avg  min     max  total
  until accepted      3  4.2s   0s  1m 23s  2h 5m
  until canceled      0     -    -       -      -

Waits split
            accepted         canceled
  under 5s         2  66.6%         0  -
"
    );
}

#[test]
fn a_choice_of_workspaces_says_how_to_ask_for_one() {
    let workspace = |sid: &str| Workspace { workspace_sid: sid.to_owned(), account_sid: "AC1".to_owned() };
    let sid = |letters: &str| format!("{letters}{}", "0".repeat(32));
    let text = choice(&[workspace(&sid("WS")), workspace("WS2")], true, " --address stats:7");
    let expected = format!(
        "  WORKSPACE                           ACCOUNT\n  {}  AC1\n  WS2                                 AC1\n  \
         … and more\n\nAsk for one: tasktally get --address stats:7 {}\n",
        sid("WS"),
        sid("WS")
    );
    assert_eq!(text, expected);
    assert!(choice(&[], false, " --address stats:7").ends_with("simulate --backfill 1h --address stats:7\n"));
}

#[test]
fn an_update_is_one_line() {
    assert_eq!(
        realtime_line(&state(), Clock::Utc),
        "2026-09-21 14:13:20 UTC revision=77 tasks=3 pending=3 reserved=0 assigned=0 wrapping=0 completed=40 \
         canceled=0 workers=1203 longest_wait=1m23s"
    );
}
