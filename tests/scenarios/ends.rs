//! Ends of tasks: what they are, and how long they are remembered.

use tasktally::engine::{CarryPart, ChannelFilter, Workspace};
use tasktally::event::EventKind::*;
use tasktally::event::{DAY_MS, Event, HOUR_MS, MINUTE_MS, Millis};

use crate::support::bench::{Bench, MONTH_MS, NOON, in_every_order};
use crate::support::build::{self, Saying, event};

fn engine(events: &[Event], now: i64) -> Workspace {
    let mut state = Workspace::new(build::sid(build::HOME), MONTH_MS, 7);
    for event in events {
        state.apply(event, Millis(now));
    }
    state
}

fn active(state: &mut Workspace, now: i64) -> i64 {
    state.realtime(&ChannelFilter::All, Millis(now)).total_tasks
}

#[test]
fn an_end_outlives_its_row_also_where_nobody_looked_since() {
    let ended = engine(&[event(TaskCompleted, NOON).completed()], NOON);
    // The process sleeps until the row is too old, wakes, and the first thing it does is to drop the row.
    let now = NOON + MONTH_MS + HOUR_MS + 1;
    let carried = ended.carry_over(Millis(0), Millis(now - MONTH_MS - HOUR_MS));
    assert!(carried.iter().any(|(part, _)| matches!(part, CarryPart::Ends(_))), "{carried:?}");

    let mut rebuilt = engine(&[], now);
    for (part, body) in carried {
        rebuilt.take_carry(part, &body).unwrap();
    }
    rebuilt.apply(&event(TaskUpdated, NOON + MONTH_MS), Millis(now));
    assert_eq!(active(&mut rebuilt, now), 0);
    rebuilt.apply(&event(TaskUpdated, NOON + MONTH_MS + 1), Millis(now));
    assert_eq!(active(&mut rebuilt, now), 1);
}

#[test]
fn a_question_between_the_admission_of_events_and_their_application_never_shows() {
    let mut state = engine(&[], NOON);
    // Admitted together at noon: the end at the very edge of the retention, and a fact that lies beyond its memory.
    let admitted = [event(TaskUpdated, NOON + 1), event(TaskCanceled, NOON - MONTH_MS).canceled()];
    // While they are being written, a question moves the state on.
    let now = NOON + 10;
    assert_eq!(active(&mut state, now), 0);
    for event in &admitted {
        state.apply(event, Millis(NOON));
    }
    assert_eq!(active(&mut state, now), 1);
}

#[test]
fn a_task_ends_with_its_first_end_and_nothing_revives_it() {
    let late = [
        event(TaskUpdated, NOON + 3).assigned(),
        event(TaskCreated, NOON + 2).pending(),
        event(TaskCanceled, NOON).canceled(),
        event(TaskUpdated, NOON - 1).pending(),
    ];
    in_every_order(NOON + 3, &late, |bench| {
        let realtime = bench.realtime();
        assert_eq!((realtime.total_tasks, realtime.by_status.canceled, realtime.longest_waiting), (0, 1, None));
    });
}

#[test]
fn completed_canceled_and_both_deletions_end_a_task() {
    for (end, shown) in [
        (event(TaskCompleted, NOON).completed(), (1, 0)),
        (event(TaskCanceled, NOON).canceled(), (0, 1)),
        // The status ends it, whatever the type.
        (event(ReservationCompleted, NOON).completed(), (1, 0)),
        (event(TaskDeleted, NOON).bare(), (0, 0)),
        (event(TaskSystemDeleted, NOON).bare(), (0, 0)),
        // The type ends it, whatever the status.
        (event(TaskDeleted, NOON).assigned(), (0, 0)),
    ] {
        in_every_order(NOON, &[event(TaskCreated, NOON - 1), end], |bench| {
            let realtime = bench.realtime();
            assert_eq!(realtime.total_tasks, 0);
            assert_eq!((realtime.by_status.completed, realtime.by_status.canceled), shown);
        });
    }
}

#[test]
fn a_type_that_says_completed_does_not_end_a_task_whose_status_goes_on() {
    let mut bench = Bench::given([event(TaskCompleted, NOON).wrapping(), event(ReservationCompleted, NOON).wrapping()]);
    assert_eq!(bench.realtime().by_status.wrapping, 1);
}

#[test]
fn the_status_of_the_first_end_says_in_which_figure_a_task_shows() {
    let events = [event(TaskCanceled, NOON - 1).canceled(), event(TaskCompleted, NOON).completed()];
    in_every_order(NOON, &events, |bench| {
        let by_status = bench.realtime().by_status;
        assert_eq!((by_status.completed, by_status.canceled), (0, 1));
    });
    let same_moment = [event(TaskCanceled, NOON).canceled(), event(TaskCompleted, NOON).completed()];
    in_every_order(NOON, &same_moment, |bench| {
        let by_status = bench.realtime().by_status;
        assert_eq!((by_status.completed, by_status.canceled), (1, 0));
    });
}

#[test]
fn an_ended_task_shows_for_five_minutes_after_its_end() {
    let mut bench = Bench::given([event(TaskCompleted, NOON).completed()]);
    let five_minutes = 5 * MINUTE_MS;
    for (now, shown) in [(NOON + five_minutes - 1, 1), (NOON + five_minutes, 0), (NOON + five_minutes + 1, 0)] {
        bench.clock_at(now);
        assert_eq!(bench.realtime().by_status.completed, shown, "{} ms after its end", now - NOON);
    }
    // An earlier end that comes late: it had been over for longer.
    bench.clock_at(NOON + five_minutes - 1).take_all([event(TaskUpdated, NOON - 1).completed()]);
    assert_eq!(bench.realtime().by_status.completed, 0);
}

#[test]
fn an_ended_task_that_any_event_deleted_does_not_show() {
    for deletion in [TaskDeleted, TaskSystemDeleted] {
        for at in [NOON - 1, NOON, NOON + 1] {
            let events = [event(TaskCompleted, NOON).completed(), event(deletion, at).bare()];
            in_every_order(NOON + 1, &events, |bench| {
                let by_status = bench.realtime().by_status;
                assert_eq!((by_status.completed, by_status.canceled), (0, 0));
            });
        }
    }
}

#[test]
fn an_event_dated_more_than_30_days_after_an_end_begins_a_new_life() {
    let mut bench = Bench::given([event(TaskCanceled, NOON).canceled()]);
    bench.clock_at(NOON + MONTH_MS + 1);
    bench.take_all([event(TaskUpdated, NOON + MONTH_MS)]);
    assert_eq!(bench.realtime().total_tasks, 0);
    bench.take_all([event(TaskUpdated, NOON + MONTH_MS + 1)]);
    assert_eq!(bench.realtime().total_tasks, 1);
    // The new life has an end of its own.
    bench.clock_at(NOON + MONTH_MS + 2).take_all([event(TaskCompleted, NOON + MONTH_MS + 2).completed()]);
    let realtime = bench.realtime();
    assert_eq!((realtime.total_tasks, realtime.by_status.completed), (0, 1));
}

#[test]
fn a_late_event_dated_within_30_days_after_an_end_never_revives_the_task_whenever_it_arrives() {
    let mut bench = Bench::given([event(TaskCanceled, NOON).canceled()]);
    for days in [29, 30, 31, 45, 59] {
        bench.clock_at(NOON + days * DAY_MS).realtime();
    }
    // The last moment at which an event of 30 days after the end is not too old.
    bench.clock_at(NOON + 2 * MONTH_MS).take_all([event(TaskUpdated, NOON + MONTH_MS)]);
    assert_eq!(bench.realtime().total_tasks, 0);
    bench.take_all([event(TaskUpdated, NOON + MONTH_MS + 1)]);
    assert_eq!(bench.realtime().total_tasks, 1);
}

#[test]
fn an_earlier_end_that_comes_late_begins_the_next_life_earlier() {
    // An event ahead of the clock, and an end that moves from within its reach to just out of it.
    let events = [
        event(TaskUpdated, NOON + 2),
        event(TaskCompleted, NOON - 5 * DAY_MS).completed(),
        event(TaskCanceled, NOON - MONTH_MS + 1).canceled(),
    ];
    in_every_order(NOON + 1, &events, |bench| assert_eq!(bench.realtime().total_tasks, 1));
}

#[test]
fn an_end_ahead_of_the_clock_counts_at_once() {
    let mut bench = Bench::given([event(TaskCreated, NOON), event(TaskCompleted, NOON + 4 * MINUTE_MS).completed()]);
    let realtime = bench.realtime();
    assert_eq!((realtime.total_tasks, realtime.by_status.completed), (0, 1));
    assert_eq!(realtime.valid_until, Some(Millis(NOON + 9 * MINUTE_MS)));
}

#[test]
fn an_end_that_the_retention_had_swallowed_ends_the_next_life_once_an_earlier_end_comes_late() {
    let edge = NOON - MONTH_MS;
    let events = [
        event(TaskCanceled, edge + 2 * MINUTE_MS).canceled(),
        // Beyond that end: a life of its own.
        event(TaskUpdated, NOON + 2 * MINUTE_MS + 1),
        // Within its reach, but out of that of the next line's.
        event(TaskCompleted, NOON + MINUTE_MS).completed(),
        event(TaskCanceled, edge).canceled(),
    ];
    in_every_order(NOON, &events, |bench| {
        let realtime = bench.realtime();
        assert_eq!((realtime.total_tasks, realtime.by_status.completed), (0, 1));
    });
}
