//! Active tasks, the longest wait, and what time alone does.

use tasktally::event::EventKind::*;
use tasktally::event::{EventKind, MINUTE_MS, Millis, TaskStatus};

use crate::support::bench::{Bench, MONTH_MS, NOON, in_every_order};
use crate::support::build::{self, Saying, event};

#[test]
fn the_status_is_that_of_assignment_status_whatever_the_type() {
    // A transfer goes from assigned over reserved back to assigned without an acceptance.
    let mut bench = Bench::given([event(TaskCreated, NOON - 3).assigned()]);
    for (at, kind, status) in
        [(2, TaskTransferInitiated, TaskStatus::Reserved), (1, TaskTransferCompleted, TaskStatus::Assigned)]
    {
        bench.take_all([event(kind, NOON - at).status(status)]);
        let by_status = bench.realtime().by_status;
        let counts = [by_status.reserved, by_status.assigned];
        assert_eq!(counts, if status == TaskStatus::Reserved { [1, 0] } else { [0, 1] });
    }
}

#[test]
fn every_event_that_carries_a_task_makes_it_active() {
    let carrying = EventKind::ALL.into_iter().filter(|kind| kind.carried().task && !kind.deletes_task());
    let mut bench = Bench::given(carrying.clone().zip(10..).map(|(kind, task)| event(kind, NOON).task(task)));
    assert_eq!(bench.realtime().total_tasks, carrying.count() as i64);
}

#[test]
fn status_priority_channel_and_creation_are_those_of_the_latest_event() {
    let events = [
        event(TaskCreated, NOON - 2).priority(1).channel("chat").created(NOON - 90),
        event(TaskUpdated, NOON - 1).priority(2).channel("voice").created(NOON - 80).reserved(),
        event(ReservationAccepted, NOON).priority(-3).channel("mail").created(NOON - 70).assigned(),
    ];
    in_every_order(NOON, &events, |bench| {
        let realtime = bench.realtime();
        assert_eq!(*realtime.by_priority, [(-3, 1)]);
        assert_eq!((realtime.by_status.assigned, realtime.total_tasks), (1, 1));
        let mail = tasktally::engine::ChannelFilter::Named("mail".into());
        assert_eq!(bench.realtime_of(&mail).total_tasks, 1);
    });
}

#[test]
fn the_latest_is_by_timestamp_before_version_before_rank_before_sid() {
    let decides = |events: [tasktally::event::Event; 2]| {
        in_every_order(NOON, &events, |bench| {
            let by_status = bench.realtime().by_status;
            assert_eq!((by_status.pending, by_status.assigned), (0, 1), "{events:?}");
        });
    };
    let earlier = || event(TaskUpdated, NOON - 1).task_version(9).sid(9).pending();
    decides([earlier(), event(TaskCreated, NOON).task_version(1).sid(1).assigned()]);
    let old_version = || event(TaskWrapup, NOON).task_version(1).sid(9).pending();
    decides([old_version(), event(TaskCreated, NOON).task_version(2).sid(1).assigned()]);
    decides([event(TaskUpdated, NOON).sid(9).pending(), event(ReservationCreated, NOON).sid(1).assigned()]);
    decides([event(TaskUpdated, NOON).sid(8).pending(), event(TaskUpdated, NOON).sid(9).assigned()]);
}

#[test]
fn types_rank_in_the_order_of_a_tasks_life() {
    let life = [
        TaskCreated,
        WorkflowEntered,
        TaskQueueEntered,
        WorkflowTargetMatched,
        TaskUpdated,
        TaskQueueTimeout,
        TaskQueueMoved,
        ReservationCreated,
        TaskTransferInitiated,
        TaskTransferAttemptFailed,
        ReservationRejected,
        ReservationTimeout,
        ReservationCanceled,
        ReservationRescinded,
        ReservationFailed,
        TaskTransferFailed,
        TaskTransferCanceled,
        ReservationAccepted,
        TaskTransferCompleted,
        ReservationWrapup,
        TaskWrapup,
        ReservationCompleted,
        WorkflowTimeout,
        WorkflowSkipped,
        TaskCompleted,
        TaskCanceled,
    ];
    for (pair, n) in life.windows(2).zip(1..) {
        // The smaller sid comes later, so that it is not the sid that decides.
        let (before, after) = (event(pair[0], NOON).sid(9).pending(), event(pair[1], NOON).sid(1).wrapping());
        let mut bench = Bench::given([after, before]);
        assert_eq!(bench.realtime().by_status.wrapping, 1, "pair {n}: {pair:?}");
    }
}

#[test]
fn every_status_is_counted_and_priorities_without_tasks_are_absent() {
    let statuses = [TaskStatus::Pending, TaskStatus::Reserved, TaskStatus::Assigned, TaskStatus::Wrapping];
    let mut bench =
        Bench::given(statuses.into_iter().zip(1..).map(|(status, n)| event(TaskUpdated, NOON).task(n).status(status)));
    let realtime = bench.realtime();
    let by_status = realtime.by_status;
    assert_eq!([by_status.pending, by_status.reserved, by_status.assigned, by_status.wrapping], [1; 4]);
    assert_eq!(*realtime.by_priority, [(0, 4)]);
    bench.take_all([event(TaskUpdated, NOON + 1).task(1).priority(7)]);
    assert_eq!(*bench.realtime().by_priority, [(0, 3), (7, 1)]);
}

#[test]
fn the_longest_wait_is_of_the_waiting_task_created_first_ties_to_the_smaller_sid() {
    let mut bench = Bench::given([
        event(TaskCreated, NOON).task(4).created(NOON - 10),
        event(TaskCreated, NOON).task(3).created(NOON - 20).reserved(),
        event(TaskCreated, NOON).task(2).created(NOON - 20),
        event(TaskCreated, NOON).task(1).created(NOON - 30).assigned(),
    ]);
    let longest = |bench: &mut Bench| bench.realtime().longest_waiting.map(|waiting| (waiting.task, waiting.since));
    assert_eq!(longest(&mut bench), Some((build::task(2), Millis(NOON - 20))));
    bench.take_all([event(ReservationAccepted, NOON + 1).task(2).assigned()]);
    assert_eq!(longest(&mut bench), Some((build::task(3), Millis(NOON - 20))));
    bench.take_all([event(TaskCompleted, NOON + 1).task(3).completed()]);
    assert_eq!(longest(&mut bench), Some((build::task(4), Millis(NOON - 10))));
    bench.take_all([event(TaskDeleted, NOON + 1).task(4).bare()]);
    assert_eq!(longest(&mut bench), None);
    // Back to waiting after a transfer, and with an earlier creation than was said before.
    bench.take_all([event(TaskTransferInitiated, NOON + 2).task(2).created(NOON - 40).reserved()]);
    assert_eq!(longest(&mut bench), Some((build::task(2), Millis(NOON - 40))));
}

#[test]
fn an_active_task_without_an_event_for_30_days_is_dropped_and_a_new_event_brings_it_back() {
    let mut bench = Bench::given([event(TaskCreated, NOON)]);
    bench.clock_at(NOON + MONTH_MS);
    let realtime = bench.realtime();
    assert_eq!((realtime.total_tasks, realtime.valid_until), (1, Some(Millis(NOON + MONTH_MS + 1))));
    bench.clock_at(NOON + MONTH_MS + 1);
    let realtime = bench.realtime();
    assert_eq!((realtime.total_tasks, realtime.longest_waiting, realtime.valid_until), (0, None, None));
    // A late event, dated within the 30 days.
    bench.take_all([event(TaskUpdated, NOON + 1)]);
    assert_eq!(bench.realtime().total_tasks, 1);
}

#[test]
fn an_answer_says_until_when_it_is_true() {
    let mut bench = Bench::given([event(TaskCompleted, NOON).completed(), event(TaskCreated, NOON - 7).task(2)]);
    assert_eq!(bench.realtime().valid_until, Some(Millis(NOON + 5 * MINUTE_MS)));
    bench.clock_at(NOON + 5 * MINUTE_MS);
    assert_eq!(bench.realtime().valid_until, Some(Millis(NOON - 7 + MONTH_MS + 1)));
}
