//! The channel filter.

use tasktally::engine::{ChannelFilter, Figure, Window};
use tasktally::event::DAY_MS;
use tasktally::event::EventKind::*;

use crate::support::bench::{Bench, MONTH_MS, NOON, in_every_order};
use crate::support::build::{self, Saying, event};

fn named(name: &str) -> ChannelFilter {
    ChannelFilter::Named(name.into())
}

fn by_sid(n: u32) -> ChannelFilter {
    ChannelFilter::Sid(build::tc(n))
}

#[test]
fn with_a_channel_the_task_figures_cover_it_alone_and_the_worker_figures_are_unchanged() {
    let mut bench = Bench::given([
        event(TaskCreated, NOON - 5).task(1).channel("voice").priority(3),
        event(TaskCreated, NOON - 4).task(2).channel("chat").created(NOON - 9),
        event(TaskCompleted, NOON - 3).task(3).channel("chat").completed(),
        event(WorkerCreated, NOON - 2).doing(1),
    ]);
    let voice = bench.realtime_of(&named("voice"));
    assert_eq!((voice.total_tasks, voice.by_status.completed, voice.total_workers), (1, 0, 1));
    assert_eq!((&*voice.by_priority, voice.activities.len()), (&[(3, 1)][..], 1));
    assert_eq!(voice.longest_waiting.map(|waiting| waiting.task), Some(build::task(1)));
    let chat = bench.realtime_of(&named("chat"));
    assert_eq!((chat.total_tasks, chat.by_status.completed, chat.total_workers), (1, 1, 1));
}

#[test]
fn a_task_is_in_the_channel_of_its_latest_event() {
    let events = [event(TaskCreated, NOON - 1).channel("chat"), event(TaskUpdated, NOON).channel("voice")];
    in_every_order(NOON, &events, |bench| {
        assert_eq!(bench.realtime_of(&named("chat")).total_tasks, 0);
        assert_eq!(bench.realtime_of(&named("voice")).total_tasks, 1);
        // What happened stays in the channel that the event itself states.
        let created = bench.cumulative_of(&named("chat"), Window::Default15, &[]).totals.count(Figure::TasksCreated);
        assert_eq!(created, 1);
    });
}

#[test]
fn an_unknown_channel_or_one_without_tasks_gives_zeros() {
    let mut bench = Bench::given([event(TaskDeleted, NOON).channel("chat"), event(WorkerCreated, NOON).doing(1)]);
    for filter in [named("chat"), named("Chat"), named("nothing"), by_sid(1)] {
        let realtime = bench.realtime_of(&filter);
        assert_eq!((realtime.total_tasks, realtime.longest_waiting, realtime.total_workers), (0, None, 1));
    }
    assert_eq!(bench.cumulative_of(&named("Chat"), Window::Default15, &[]).totals.counts, [0; Figure::COUNT]);
}

#[test]
fn names_compare_as_bytes() {
    let mut bench =
        Bench::given([event(TaskCreated, NOON).channel("voice"), event(TaskCreated, NOON).task(2).channel("Voice")]);
    assert_eq!(bench.realtime_of(&named("voice")).total_tasks, 1);
    assert_eq!(bench.realtime_of(&named("VOICE")).total_tasks, 0);
}

#[test]
fn a_sid_stands_for_the_name_that_the_latest_of_all_events_gave_it() {
    let events = [
        event(TaskCreated, NOON - 2).task(1).channel("chat").channel_sid(1),
        event(TaskCreated, NOON - 1).task(2).channel("voice").channel_sid(1),
        event(TaskCreated, NOON).task(3).channel("mail"),
    ];
    in_every_order(NOON, &events, |bench| {
        let realtime = bench.realtime_of(&by_sid(1));
        assert_eq!(realtime.longest_waiting.map(|waiting| waiting.task), Some(build::task(2)));
        assert_eq!(realtime.total_tasks, 1);
    });
    // A task's version is none of the channel's: at one moment the rank decides.
    let same_moment = [
        event(TaskCreated, NOON).task(1).task_version(9).channel("chat").channel_sid(1),
        event(TaskUpdated, NOON).task(2).channel("voice").channel_sid(1),
    ];
    in_every_order(NOON, &same_moment, |bench| {
        let realtime = bench.realtime_of(&by_sid(1));
        assert_eq!(realtime.longest_waiting.map(|waiting| waiting.task), Some(build::task(2)));
    });
}

#[test]
fn tasks_of_the_name_count_also_where_their_own_events_state_no_sid() {
    let mut bench = Bench::given([
        event(TaskCreated, NOON).task(1).channel("voice").channel_sid(1),
        event(TaskCreated, NOON).task(2).channel("voice"),
        event(TaskCreated, NOON).task(3).channel("voice").channel_sid(2),
    ]);
    assert_eq!(bench.realtime_of(&by_sid(1)).total_tasks, 3);
    assert_eq!(bench.cumulative_of(&by_sid(2), Window::Default15, &[]).totals.count(Figure::TasksCreated), 3);
}

#[test]
fn what_a_sid_stands_for_outlives_the_events_that_said_it() {
    let mut bench = Bench::given([event(TaskCreated, NOON).channel("voice").channel_sid(1)]);
    let now = NOON + 3 * MONTH_MS;
    bench.clock_at(now);
    assert_eq!(bench.realtime_of(&by_sid(1)).total_tasks, 0);
    bench.take_all([event(TaskCreated, now).task(2).channel("voice")]);
    assert_eq!(bench.realtime_of(&by_sid(1)).total_tasks, 1);
}

#[test]
fn what_is_not_tc_and_32_digits_is_a_name() {
    let sid = ChannelFilter::parse("TC000000000000000000000000000000Ab");
    assert_eq!(sid, by_sid(0xab));
    for text in [
        "TC000000000000000000000000000000a",
        "tc000000000000000000000000000000ab",
        "TC000000000000000000000000000000ag",
    ] {
        assert_eq!(ChannelFilter::parse(text), named(text));
    }
    assert_eq!(ChannelFilter::parse(""), ChannelFilter::All);
}

#[test]
fn channels_are_listed_while_events_of_the_retention_name_them_or_a_sid_stands_for_them() {
    let mut bench = Bench::given([
        event(TaskCreated, NOON).task(1).channel("voice").channel_sid(7),
        event(TaskCreated, NOON).task(2).channel("voice").channel_sid(5),
        event(TaskCreated, NOON).task(3).channel("Chat"),
    ]);
    let listed = |bench: &mut Bench| -> Vec<(String, Option<u128>, i64)> {
        let number = |sid: tasktally::event::ChannelSid| u128::from_be_bytes(*sid.as_bytes());
        let rows = bench.channels().into_iter();
        rows.map(|row| (row.unique_name.to_string(), row.sid.map(number), row.active_tasks)).collect()
    };
    assert_eq!(listed(&mut bench), [("Chat".into(), None, 1), ("voice".into(), Some(5), 2)]);
    bench.clock_at(NOON + 31 * DAY_MS);
    assert_eq!(listed(&mut bench), [("voice".into(), Some(5), 0)]);
}
