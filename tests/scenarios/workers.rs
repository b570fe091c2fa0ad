//! Workers and activities.

use tasktally::event::Event;
use tasktally::event::EventKind::*;

use crate::support::bench::{Bench, NOON, in_every_order};
use crate::support::build::{Saying, event};

/// Name and workers of each activity listed.
fn rows(bench: &mut Bench) -> Vec<(String, i64)> {
    bench.realtime().activities.iter().map(|row| (row.name.to_string(), row.workers)).collect()
}

fn expect(bench: &mut Bench, expected: &[(&str, i64)]) {
    let expected: Vec<(String, i64)> = expected.iter().map(|(name, workers)| (name.to_string(), *workers)).collect();
    assert_eq!(rows(bench), expected);
}

#[test]
fn a_worker_counts_in_the_activity_of_its_latest_event_that_states_one() {
    let events = [
        event(WorkerCreated, NOON - 2).doing_named(1, "Offline"),
        event(WorkerActivityUpdate, NOON - 1).doing_named(2, "Idle"),
        // Says nothing of the activity.
        event(WorkerAttributesUpdate, NOON),
    ];
    in_every_order(NOON, &events, |bench| {
        expect(bench, &[("Idle", 1), ("Offline", 0)]);
        assert_eq!(bench.realtime().total_workers, 1);
    });
}

#[test]
fn facts_about_a_worker_compare_by_timestamp_version_rank_and_sid() {
    let decides = |events: [Event; 2]| {
        in_every_order(NOON, &events, |bench| expect(bench, &[("new", 1), ("old", 0)]));
    };
    let old = |event: Event| event.doing_named(1, "old");
    let new = |event: Event| event.doing_named(2, "new");
    decides([old(event(WorkerActivityUpdate, NOON - 1).worker_version(9)), new(event(WorkerCreated, NOON))]);
    decides([
        old(event(WorkerActivityUpdate, NOON).worker_version(1).sid(9)),
        new(event(WorkerCreated, NOON).worker_version(2).sid(1)),
    ]);
    decides([old(event(WorkerCreated, NOON).sid(9)), new(event(WorkerActivityUpdate, NOON).sid(1))]);
    decides([old(event(WorkerActivityUpdate, NOON).sid(8)), new(event(ReservationCreated, NOON).worker(1).sid(9))]);
}

#[test]
fn a_worker_is_known_from_any_event_that_carries_one() {
    let mut bench = Bench::given([
        event(WorkerCapacityUpdate, NOON).worker(1),
        event(ReservationAccepted, NOON).worker(2).assigned(),
        event(ReservationCreated, NOON).worker(3).doing_named(1, "Busy"),
        // Carries none.
        event(ReservationCreated, NOON).task(2),
    ]);
    assert_eq!(bench.realtime().total_workers, 3);
    expect(&mut bench, &[("Busy", 1)]);
}

#[test]
fn a_deleted_worker_is_gone_and_nothing_brings_it_back() {
    let events = [
        event(WorkerCreated, NOON - 2).doing_named(1, "Idle"),
        event(WorkerDeleted, NOON - 1),
        event(WorkerActivityUpdate, NOON).doing_named(1, "Idle"),
    ];
    in_every_order(NOON, &events, |bench| {
        assert_eq!(bench.realtime().total_workers, 0);
        expect(bench, &[("Idle", 0)]);
    });
}

#[test]
fn an_activity_is_known_from_any_workers_event_a_deleted_workers_included() {
    let events = [event(WorkerDeleted, NOON - 1).doing_named(3, "Gone"), event(WorkerActivityUpdate, NOON).doing(4)];
    in_every_order(NOON, &events, |bench| expect(bench, &[("", 0), ("Gone", 0)]));
}

#[test]
fn activities_are_listed_with_no_worker_in_them_by_name_as_bytes_then_sid() {
    let mut bench = Bench::given([
        event(ActivityCreated, NOON).activity(1).named("idle"),
        event(ActivityCreated, NOON).activity(2).named("Zzz"),
        event(ActivityCreated, NOON).activity(4).named("Break"),
        event(ActivityCreated, NOON).activity(3).named("Break"),
        event(ActivityCreated, NOON).activity(5).named("Éclair"),
        event(WorkerCreated, NOON).doing(4),
    ]);
    expect(&mut bench, &[("Break", 0), ("Break", 1), ("Zzz", 0), ("idle", 0), ("Éclair", 0)]);
}

#[test]
fn a_deleted_activity_stays_listed_until_it_has_no_workers() {
    let mut bench = Bench::given([
        event(ActivityCreated, NOON - 3).named("Old"),
        event(WorkerCreated, NOON - 2).doing(1),
        event(ActivityDeleted, NOON - 1).nameless(),
    ]);
    expect(&mut bench, &[("Old", 1)]);
    bench.take_all([event(WorkerActivityUpdate, NOON).doing_named(2, "New")]);
    expect(&mut bench, &[("New", 1)]);
    bench.take_all([event(WorkerActivityUpdate, NOON + 1).doing(1)]);
    expect(&mut bench, &[("New", 0), ("Old", 1)]);
}

#[test]
fn the_deletion_of_an_activity_is_final() {
    let events = [event(ActivityDeleted, NOON - 1), event(ActivityUpdated, NOON).named("Back")];
    in_every_order(NOON, &events, |bench| expect(bench, &[]));
}

#[test]
fn an_activitys_own_events_name_it_before_any_workers_event() {
    let events = [
        event(ActivityCreated, NOON - 3).named("first"),
        event(ActivityUpdated, NOON - 2).named("second"),
        event(WorkerActivityUpdate, NOON).doing_named(1, "by a worker"),
    ];
    in_every_order(NOON, &events, |bench| expect(bench, &[("second", 1)]));
    let same_moment = [
        event(ActivityUpdated, NOON).named("updated").sid(1),
        event(ActivityCreated, NOON).named("created").sid(2),
        event(WorkerCreated, NOON).doing(1),
    ];
    in_every_order(NOON, &same_moment, |bench| expect(bench, &[("updated", 1)]));
}

#[test]
fn without_one_the_latest_workers_event_that_names_it_does_whatever_the_workers_versions() {
    let events = [
        event(WorkerActivityUpdate, NOON - 1).worker(1).worker_version(9).doing_named(1, "old"),
        event(WorkerActivityUpdate, NOON).worker(2).worker_version(1).doing_named(1, "new"),
        event(WorkerActivityUpdate, NOON + 1).worker(3).doing(1),
    ];
    in_every_order(NOON + 1, &events, |bench| expect(bench, &[("new", 3)]));
    // Versions of two workers say nothing about an activity: at one moment the sid decides.
    let same_moment = [
        event(WorkerActivityUpdate, NOON).worker(1).worker_version(9).doing_named(1, "old").sid(1),
        event(WorkerActivityUpdate, NOON).worker(2).worker_version(1).doing_named(1, "new").sid(2),
    ];
    in_every_order(NOON, &same_moment, |bench| expect(bench, &[("new", 2)]));
}

#[test]
fn workers_and_activities_stay_however_long_nothing_is_heard_of_them() {
    let mut bench =
        Bench::given([event(WorkerCreated, NOON).doing(1), event(ActivityCreated, NOON).activity(1).named("Idle")]);
    bench.clock_at(NOON + 400 * tasktally::event::DAY_MS);
    expect(&mut bench, &[("Idle", 1)]);
    assert_eq!(bench.realtime().total_workers, 1);
}
