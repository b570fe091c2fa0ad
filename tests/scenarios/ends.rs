//! Ends of tasks: what they are, and how long they are remembered.

use tasktally::engine::{CarryPart, ChannelFilter, Workspace};
use tasktally::event::EventKind::*;
use tasktally::event::{Event, HOUR_MS, Millis};

use crate::support::bench::{MONTH_MS, NOON};
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
