//! Which events are taken.

use tasktally::engine::{Figure, Window};
use tasktally::event::EventKind::*;
use tasktally::event::{EventKind, HOUR_MS, MINUTE_MS};

use crate::support::bench::{Bench, MONTH_MS, NOON};
use crate::support::build::{Saying, event};
use crate::support::model::Outcome::*;

#[test]
fn the_same_event_again_is_a_duplicate_and_changes_nothing() {
    let mut bench = Bench::new();
    let created = event(TaskCreated, NOON);
    assert_eq!(bench.take(created.clone()), Accepted);
    for _ in 0..3 {
        assert_eq!(bench.take(created.clone()), Duplicate);
    }
    assert_eq!(bench.realtime().total_tasks, 1);
    assert_eq!(bench.cumulative(Window::Default15).totals.count(Figure::TasksCreated), 1);
}

#[test]
fn the_first_accepted_wins_whatever_the_second_says_within_the_same_second() {
    let second = NOON - NOON % 1000;
    let mut bench = Bench::given([event(TaskCreated, second).sid(1)]);
    assert_eq!(bench.take(event(TaskCompleted, second + 999).sid(1).completed()), Duplicate);
    assert_eq!(bench.realtime().by_status.pending, 1);
}

#[test]
fn the_same_sid_in_another_second_or_another_workspace_is_another_event() {
    let second = NOON - NOON % 1000;
    let mut bench = Bench::given([event(TaskCreated, second).sid(1)]);
    assert_eq!(bench.take(event(TaskCreated, second - 1).sid(1)), Accepted);
    assert_eq!(bench.take(event(TaskCreated, second).sid(1).workspace(2)), Accepted);
    assert_eq!(bench.cumulative(Window::Default15).totals.count(Figure::TasksCreated), 2);
}

#[test]
fn a_duplicate_is_recognised_for_30_days_and_then_refused_as_too_old() {
    let created = event(TaskCreated, NOON);
    let mut bench = Bench::given([created.clone()]);
    bench.clock_at(NOON + MONTH_MS);
    assert_eq!(bench.take(created.clone()), Duplicate);
    bench.clock_at(NOON + MONTH_MS + 1);
    assert_eq!(bench.take(created), TooOld);
}

#[test]
fn an_event_may_be_dated_five_minutes_ahead_and_counts_at_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.take(event(TaskCreated, NOON + 5 * MINUTE_MS + 1)), TooNew);
    assert_eq!(bench.take(event(TaskCreated, NOON + 5 * MINUTE_MS)), Accepted);
    assert_eq!(bench.realtime().total_tasks, 1);
}

#[test]
fn an_event_may_be_30_days_old_and_no_older() {
    let mut bench = Bench::new();
    assert_eq!(bench.take(event(TaskCreated, NOON - MONTH_MS - 1)), TooOld);
    assert_eq!(bench.take(event(TaskCreated, NOON - MONTH_MS)), Accepted);
    assert_eq!(bench.realtime().total_tasks, 1);
}

#[test]
fn the_retention_stands_for_30_days_in_every_rule() {
    let mut bench = Bench::with_retention(HOUR_MS);
    assert_eq!(bench.take(event(TaskCreated, NOON - HOUR_MS - 1)), TooOld);
    assert_eq!(bench.take(event(TaskCreated, NOON - HOUR_MS)), Accepted);
    assert_eq!(bench.realtime().total_tasks, 1);
    bench.clock_at(NOON + 1);
    assert_eq!(bench.realtime().total_tasks, 0);
    bench.take_all([event(TaskCanceled, NOON).task(2).canceled()]);
    bench.clock_at(NOON + HOUR_MS + 1);
    bench.take_all([event(TaskUpdated, NOON + HOUR_MS).task(2)]);
    assert_eq!(bench.realtime().total_tasks, 0);
    bench.take_all([event(TaskUpdated, NOON + HOUR_MS + 1).task(2)]);
    assert_eq!(bench.realtime().total_tasks, 1);
}

#[test]
fn a_workspace_belongs_to_the_account_that_it_first_appeared_with() {
    let mut bench = Bench::given([event(TaskCreated, NOON).account(1)]);
    assert_eq!(bench.take(event(TaskCreated, NOON).task(2).account(2)), AccountMismatch);
    assert_eq!(bench.take(event(TaskCreated, NOON).task(2).account(1)), Accepted);
    assert_eq!(bench.realtime().total_tasks, 2);
}

#[test]
fn a_refused_event_leaves_no_trace_and_may_be_corrected_and_sent_again() {
    let mut bench = Bench::new();
    let event = event(TaskCreated, NOON - MONTH_MS - 1).account(2);
    assert_eq!(bench.take(event.clone()), TooOld);
    // Neither its sid nor the account is taken.
    let mut corrected = event.account(1);
    corrected.at.0 += 1;
    assert_eq!(bench.take(corrected), Accepted);
}

#[test]
fn whether_an_event_is_refused_is_decided_before_whether_it_is_a_duplicate() {
    let created = event(TaskCreated, NOON);
    let mut bench = Bench::given([created.clone()]);
    assert_eq!(bench.take(created.clone().account(2)), AccountMismatch);
    bench.clock_at(NOON + MONTH_MS + 1);
    assert_eq!(bench.take(created.account(2)), TooOld);
}

#[test]
fn every_type_is_accepted_and_deduplicated_also_where_no_statistic_uses_it() {
    let mut bench = Bench::new();
    for kind in EventKind::ALL {
        let event = event(kind, NOON);
        assert_eq!(bench.take(event.clone()), Accepted, "{kind:?}");
        assert_eq!(bench.take(event), Duplicate, "{kind:?}");
    }
    bench.realtime();
    let counted: u64 = bench.cumulative(Window::Default15).totals.counts.iter().sum();
    assert_eq!(counted, Figure::COUNT as u64);
}

#[test]
fn an_event_of_three_weeks_ago_takes_its_place_as_if_it_had_come_in_time() {
    let then = NOON - 21 * 24 * HOUR_MS;
    let mut bench = Bench::given([
        event(TaskUpdated, NOON).assigned().created(then),
        event(TaskCreated, then),
        event(WorkerActivityUpdate, NOON).worker(1).doing_named(2, "Break"),
        event(WorkerCreated, then).worker(1).doing_named(1, "Idle"),
    ]);
    let realtime = bench.realtime();
    assert_eq!((realtime.by_status.pending, realtime.by_status.assigned), (0, 1));
    let workers: Vec<(&str, i64)> = realtime.activities.iter().map(|row| (&*row.name, row.workers)).collect();
    assert_eq!(workers, [("Break", 1), ("Idle", 0)]);
    let totals = bench.cumulative(Window::Minutes(43_200)).totals;
    assert_eq!(totals.count(Figure::TasksCreated), 1);
}

#[test]
fn workspace_deleted_changes_nothing() {
    let mut bench = Bench::given([event(TaskCreated, NOON), event(WorkspaceDeleted, NOON + 1)]);
    assert_eq!(bench.realtime().total_tasks, 1);
    assert_eq!(bench.take(event(TaskCreated, NOON + 2).task(2)), Accepted);
    assert_eq!(bench.realtime().total_tasks, 2);
}
