//! What happened in an interval.

use tasktally::engine::{ChannelFilter, Figure, Split, Totals, Window};
use tasktally::event::EventKind::*;
use tasktally::event::{EventKind, MINUTE_MS, Millis, Second};
use tasktally::pipeline::AskError;

use crate::support::bench::{Bench, MONTH_MS, NOON};
use crate::support::build::{Saying, event};

/// The second of [`NOON`].
const S: i64 = NOON / 1000;

fn created(bench: &mut Bench, window: Window) -> u64 {
    bench.cumulative(window).totals.count(Figure::TasksCreated)
}

fn between(start_ms: i64, end_ms: i64) -> Window {
    Window::Between { start: Millis(start_ms), end: Millis(end_ms) }
}

#[test]
fn each_figure_counts_the_events_of_its_own_type_and_no_other() {
    let counted = [
        (TaskCreated, Figure::TasksCreated),
        (TaskCanceled, Figure::TasksCanceled),
        (TaskCompleted, Figure::TasksCompleted),
        (TaskDeleted, Figure::TasksDeleted),
        (TaskQueueMoved, Figure::TasksMoved),
        (WorkflowTimeout, Figure::TasksTimedOutInWorkflow),
        (ReservationCreated, Figure::ReservationsCreated),
        (ReservationAccepted, Figure::ReservationsAccepted),
        (ReservationRejected, Figure::ReservationsRejected),
        (ReservationTimeout, Figure::ReservationsTimedOut),
        (ReservationCanceled, Figure::ReservationsCanceled),
        (ReservationRescinded, Figure::ReservationsRescinded),
    ];
    for kind in EventKind::ALL {
        let mut bench = Bench::given([event(kind, NOON)]);
        let totals = bench.cumulative(Window::Default15).totals;
        for figure in Figure::ALL {
            let expected = u64::from(counted.contains(&(kind, figure)));
            assert_eq!(totals.count(figure), expected, "{figure:?} after one {kind:?}");
        }
    }
}

#[test]
fn an_interval_has_its_start_and_not_its_end() {
    let mut bench = Bench::given([event(TaskCreated, (S - 10) * 1000), event(TaskCreated, (S - 5) * 1000 - 1).task(2)]);
    assert_eq!(created(&mut bench, between((S - 10) * 1000, (S - 5) * 1000)), 2);
    assert_eq!(created(&mut bench, between((S - 9) * 1000, (S - 5) * 1000)), 1);
    assert_eq!(created(&mut bench, between((S - 10) * 1000, (S - 6) * 1000)), 1);
    assert_eq!(created(&mut bench, between((S - 20) * 1000, (S - 10) * 1000)), 0);
}

#[test]
fn a_start_rounds_down_and_an_end_rounds_up() {
    let mut bench =
        Bench::given([event(TaskCreated, (S - 10) * 1000), event(TaskCreated, (S - 5) * 1000 + 999).task(2)]);
    assert_eq!(created(&mut bench, between((S - 10) * 1000 + 999, (S - 5) * 1000 + 1)), 2);
    let range = bench.cumulative(between((S - 10) * 1000 + 999, (S - 5) * 1000 + 1)).range;
    assert_eq!((range.start(), range.end()), (Second(S - 10), Second(S - 4)));
}

#[test]
fn what_was_acknowledged_is_in_a_window_that_ends_now_unless_it_is_dated_ahead() {
    let mut bench = Bench::given([
        event(TaskCreated, NOON),
        event(TaskCreated, S * 1000 + 999).task(2),
        event(TaskCreated, (S + 1) * 1000).task(3),
    ]);
    assert_eq!(created(&mut bench, Window::Default15), 2);
    assert_eq!(created(&mut bench, Window::From(Millis(NOON))), 2);
    assert_eq!(created(&mut bench, between(NOON, (S + 2) * 1000)), 3);
}

#[test]
fn a_window_of_m_minutes_is_exactly_m_minutes_long() {
    let edge = (S + 1 - 60) * 1000;
    let mut bench = Bench::given([event(TaskCreated, edge), event(TaskCreated, edge - 1).task(2)]);
    assert_eq!(created(&mut bench, Window::Minutes(1)), 1);
    let range = bench.cumulative(Window::Minutes(1)).range;
    assert_eq!((range.start(), range.end()), (Second(S - 59), Second(S + 1)));
}

#[test]
fn nothing_means_15_minutes_before_the_end_of_now_and_an_end_alone_15_minutes_before_it() {
    let mut bench =
        Bench::given([event(TaskCreated, (S + 1 - 900) * 1000), event(TaskCreated, (S - 899) * 1000 - 1).task(2)]);
    assert_eq!(created(&mut bench, Window::Default15), 1);
    assert_eq!(created(&mut bench, Window::Until(Millis(S * 1000))), 2);
}

#[test]
fn a_window_that_holds_no_second_names_the_field_at_fault() {
    let mut bench = Bench::given([event(TaskCreated, NOON)]);
    let mut fault = |window| bench.try_cumulative(&ChannelFilter::All, window, &[]).unwrap_err();
    assert_eq!(fault(between(S * 1000, S * 1000)), AskError::EmptyWindow { field: "end_time" });
    assert_eq!(fault(Window::From(Millis((S + 1) * 1000))), AskError::EmptyWindow { field: "start_time" });
}

#[test]
fn a_start_before_the_oldest_second_names_the_oldest_that_can_be_asked_for() {
    let oldest = S - MONTH_MS / 1000;
    let mut bench = Bench::given([event(TaskCreated, NOON - MONTH_MS)]);
    assert_eq!(created(&mut bench, Window::From(Millis(oldest * 1000))), 1);
    let error = bench.try_cumulative(&ChannelFilter::All, Window::From(Millis(oldest * 1000 - 1)), &[]).unwrap_err();
    assert_eq!(error, AskError::WindowTooOld { oldest: Second(oldest), asked: Second(oldest - 1) });
    // The whole of the oldest second, although part of it is older than 30 days by now.
    bench.clock_at(S * 1000 + 999);
    assert_eq!(created(&mut bench, Window::From(Millis(oldest * 1000))), 1);
    bench.clock_at((S + 1) * 1000);
    assert_eq!(created(&mut bench, Window::Minutes(43_200)), 0);
}

#[test]
fn waits_run_from_creation_to_the_event_and_are_never_negative() {
    let accepted = |at: i64, waited: i64| event(ReservationAccepted, at).assigned().created(at - waited);
    let mut bench = Bench::given([
        accepted(NOON - 2000, 1500),
        // A transferred task that is accepted twice is two samples, both from its creation.
        accepted(NOON - 1000, 2500),
        accepted(NOON, -7).task(2),
        event(TaskCanceled, NOON).task(3).canceled().created(NOON - 9),
        // Not a cancellation, whatever its status.
        event(TaskUpdated, NOON).task(4).canceled().created(NOON - 9),
    ]);
    let Totals { accepted, canceled, .. } = bench.cumulative(Window::Default15).totals;
    assert_eq!((accepted.count, accepted.total_ms, accepted.min_ms, accepted.max_ms), (3, 4000, 0, 2500));
    assert_eq!((canceled.count, canceled.total_ms, canceled.min_ms, canceled.max_ms), (1, 9, 9, 9));
}

#[test]
fn a_wait_of_exactly_the_threshold_is_not_below_it_and_repeated_thresholds_collapse() {
    let mut bench = Bench::new();
    for (n, waited) in [(1, 0), (2, 9_999), (3, 10_000), (4, 10_001)] {
        let kind = if n % 2 == 0 { ReservationAccepted } else { TaskCanceled };
        bench.take_all([event(kind, NOON).task(n).created(NOON - waited)]);
    }
    let totals = bench.cumulative_of(&ChannelFilter::All, Window::Default15, &[2_592_000, 10, 10, 1]).totals;
    let split = |threshold, accepted_below, canceled_below| Split { threshold, accepted_below, canceled_below };
    assert_eq!(*totals.splits, [split(1, 0, 1), split(10, 1, 1), split(2_592_000, 2, 2)]);
    assert_eq!((totals.accepted.count, totals.canceled.count), (2, 2));
}

#[test]
fn a_deletion_counts_in_the_channel_that_it_states_itself() {
    let mut bench = Bench::given([
        event(TaskCreated, NOON).channel("voice"),
        event(TaskDeleted, NOON).bare(),
        event(TaskDeleted, NOON).task(2).channel("voice"),
    ]);
    let voice = ChannelFilter::Named("voice".into());
    assert_eq!(bench.cumulative_of(&voice, Window::Default15, &[]).totals.count(Figure::TasksDeleted), 1);
    assert_eq!(bench.cumulative(Window::Default15).totals.count(Figure::TasksDeleted), 2);
}

#[test]
fn adjoining_windows_tile() {
    let mut bench = Bench::new();
    for n in 0..50 {
        bench.take_all([event(TaskCreated, NOON - i64::from(n) * 777).task(n)]);
    }
    let edges = [NOON - MINUTE_MS, NOON - 20_500, NOON - 20_000, NOON - 999, (S + 1) * 1000];
    let whole = created(&mut bench, between(edges[0], edges[4]));
    // The end of each window as it was taken is the start of the next.
    let mut start = edges[0];
    let mut sum = 0;
    for end in &edges[1..] {
        let cumulative = bench.cumulative(between(start, *end));
        sum += cumulative.totals.count(Figure::TasksCreated);
        start = cumulative.range.end().0 * 1000;
    }
    assert_eq!((whole, sum), (50, 50));
}
