use std::sync::Arc;

use prost::Message as _;

use super::*;
use crate::engine::{LongestWaiting, Totals};
use crate::event::{AccountSid, ActivitySid, ChannelSid, SecondRange, TaskSid};

const NOW: Millis = Millis(1_800_000_000_123);

fn links() -> Links {
    Links::new("https://stats.example.com/")
}

fn stamp(links: &Links) -> Stamp<'_> {
    Stamp { links, workspace: WorkspaceSid::from_bytes([0x3c; 16]), revision: 77, as_of: NOW }
}

fn state() -> Realtime {
    Realtime {
        account: AccountSid::from_bytes([0xa; 16]),
        activities: Arc::new([
            ActivityRow { sid: ActivitySid::from_bytes([1; 16]), name: "Busy".into(), workers: 3 },
            ActivityRow { sid: ActivitySid::from_bytes([2; 16]), name: "".into(), workers: 0 },
        ]),
        total_workers: 4,
        longest_waiting: Some(LongestWaiting { task: TaskSid::from_bytes([9; 16]), since: NOW.minus(61_005) }),
        by_priority: Box::new([(-1, 2), (5, 8)]),
        by_status: StatusCounts { pending: 1, reserved: 2, assigned: 3, wrapping: 4, completed: 5, canceled: 6 },
        total_tasks: 10,
        valid_until: None,
    }
}

fn past(samples: &[Sample], thresholds: &[u32]) -> Cumulative {
    let mut totals = Totals::with_thresholds(thresholds);
    samples.iter().for_each(|sample| totals.add(*sample));
    let range = SecondRange::new(Second(1_799_999_100), Second(1_800_000_001)).unwrap();
    Cumulative { account: AccountSid::from_bytes([0xa; 16]), range, totals }
}

use crate::engine::Sample;

fn accepted(wait_ms: u64) -> Sample {
    Sample { figure: Figure::ReservationsAccepted, wait_ms }
}

fn canceled(wait_ms: u64) -> Sample {
    Sample { figure: Figure::TasksCanceled, wait_ms }
}

fn ms(duration: Option<Duration>) -> i64 {
    let Duration { seconds, nanos } = duration.expect("a duration is stated even where it is zero");
    seconds * 1000 + i64::from(nanos / 1_000_000)
}

#[test]
fn every_realtime_figure_arrives() {
    let links = links();
    let sent = realtime(stamp(&links), &state());
    assert_eq!(sent.account_sid, "AC0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
    assert_eq!(sent.workspace_sid, "WS3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c");
    let url = "https://stats.example.com/v1/Workspaces/WS3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c/RealTimeStatistics";
    assert_eq!(sent.url, url);
    assert_eq!((sent.revision, sent.as_of), (77, Some(Timestamp { seconds: 1_800_000_000, nanos: 123_000_000 })));
    let rows: Vec<_> = sent.activity_statistics.iter().map(|row| (row.friendly_name.as_str(), row.workers)).collect();
    assert_eq!(rows, [("Busy", 3), ("", 0)]);
    assert_eq!(sent.activity_statistics[0].sid, "WA01010101010101010101010101010101");
    assert_eq!(sent.tasks_by_priority.into_iter().collect::<Vec<_>>(), [(-1, 2), (5, 8)]);
    let status = v1::TasksByStatus { pending: 1, reserved: 2, assigned: 3, wrapping: 4, completed: 5, canceled: 6 };
    assert_eq!(sent.tasks_by_status, Some(status));
    assert_eq!((sent.total_tasks, sent.total_workers), (10, 4));
    assert_eq!(sent.longest_task_waiting_sid, "WT09090909090909090909090909090909");
    assert_eq!(ms(sent.longest_task_waiting_age), 61_005);
    let since = Timestamp { seconds: 1_799_999_939, nanos: 118_000_000 };
    assert_eq!(sent.longest_task_waiting_since, Some(since));
}

#[test]
fn without_a_waiting_task_there_is_no_sid_no_since_and_the_age_is_zero() {
    let links = links();
    let sent = realtime(stamp(&links), &Realtime { longest_waiting: None, ..state() });
    assert_eq!((sent.longest_task_waiting_sid.as_str(), sent.longest_task_waiting_since), ("", None));
    assert_eq!(ms(sent.longest_task_waiting_age), 0);
}

#[test]
fn an_age_is_never_negative() {
    let links = links();
    let longest_waiting = Some(LongestWaiting { task: TaskSid::from_bytes([9; 16]), since: NOW.plus(5) });
    assert_eq!(ms(realtime(stamp(&links), &Realtime { longest_waiting, ..state() }).longest_task_waiting_age), 0);
}

#[test]
fn every_count_arrives_in_its_own_place() {
    let links = links();
    let mut all = past(&[], &[]);
    for (count, figure) in (1..).zip(Figure::ALL) {
        all.totals.counts[figure as usize] = count;
    }
    let sent = cumulative(stamp(&links), &all);
    assert_eq!((sent.tasks_created, sent.tasks_canceled, sent.tasks_completed, sent.tasks_deleted), (1, 2, 3, 4));
    assert_eq!((sent.tasks_moved, sent.tasks_timed_out_in_workflow), (5, 6));
    let reservations = (sent.reservations_created, sent.reservations_accepted, sent.reservations_rejected);
    assert_eq!(reservations, (7, 8, 9));
    let reservations = (sent.reservations_timed_out, sent.reservations_canceled, sent.reservations_rescinded);
    assert_eq!(reservations, (10, 11, 12));
    assert!(sent.url.ends_with("/CumulativeStatistics"));
    assert_eq!(sent.start_time, Some(Timestamp { seconds: 1_799_999_100, nanos: 0 }));
    assert_eq!(sent.end_time, Some(Timestamp { seconds: 1_800_000_001, nanos: 0 }));
    assert_eq!(sent.revision, 77);
}

#[test]
fn without_samples_every_wait_is_zero_and_stated() {
    let links = links();
    let sent = cumulative(stamp(&links), &past(&[], &[]));
    for wait in [sent.wait_duration_until_accepted.unwrap(), sent.wait_duration_until_canceled.unwrap()] {
        assert_eq!((ms(wait.avg), ms(wait.min), ms(wait.max), ms(wait.total), wait.count), (0, 0, 0, 0, 0));
    }
    assert_eq!(ms(sent.avg_task_acceptance_time), 0);
    assert!(sent.split_by_wait_time.is_empty());
}

#[test]
fn an_average_is_rounded_down_to_the_millisecond() {
    let links = links();
    let sent = cumulative(stamp(&links), &past(&[accepted(1000), accepted(1001), accepted(1001), canceled(7)], &[]));
    let wait = sent.wait_duration_until_accepted.unwrap();
    let summary = (ms(wait.avg), ms(wait.min), ms(wait.max), ms(wait.total), wait.count);
    assert_eq!(summary, (1000, 1000, 1001, 3002, 3));
    assert_eq!(ms(sent.avg_task_acceptance_time), 1000);
    let wait = sent.wait_duration_until_canceled.unwrap();
    assert_eq!((ms(wait.avg), ms(wait.total), wait.count), (7, 7, 1));
}

#[test]
fn above_and_below_a_threshold_are_always_the_total() {
    let links = links();
    let samples = [accepted(999), accepted(1000), accepted(1001), canceled(0), canceled(2000)];
    let sent = cumulative(stamp(&links), &past(&samples, &[2, 1, 2]));
    let split = |threshold| {
        let v1::WaitTimeSplit { above, below } = sent.split_by_wait_time[&threshold];
        let pair = |counts: Option<v1::WaitTimeCounts>| {
            counts.map(|counts| (counts.tasks_canceled, counts.reservations_accepted)).unwrap()
        };
        (pair(above), pair(below))
    };
    assert_eq!(sent.split_by_wait_time.len(), 2);
    assert_eq!(split(1), ((1, 2), (1, 1)));
    assert_eq!(split(2), ((1, 0), (1, 3)));
}

#[test]
fn both_halves_carry_one_revision_and_one_moment() {
    let links = links();
    let sent = statistics(stamp(&links), &state(), &past(&[], &[]));
    assert!(sent.url.ends_with("/WS3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c/Statistics"));
    assert_eq!(sent.account_sid, "AC0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
    let (now, past) = (sent.realtime.unwrap(), sent.cumulative.unwrap());
    assert_eq!((now.revision, now.as_of), (past.revision, past.as_of));
}

#[test]
fn a_list_shows_its_rows() {
    let row = ChannelRow { unique_name: "voice".into(), sid: Some(ChannelSid::from_bytes([5; 16])), active_tasks: 3 };
    let sent = task_channel(&row);
    assert_eq!((sent.unique_name.as_str(), sent.sid.as_str()), ("voice", "TC05050505050505050505050505050505"));
    assert_eq!(sent.active_tasks, 3);
    assert_eq!(task_channel(&ChannelRow { sid: None, ..row }).sid, "");
}

#[test]
fn refusals_of_both_kinds_are_listed_by_index_with_the_sid_as_sent() {
    let early =
        Refused { reason: RejectionReason::MissingField, field: "task.sid", message: "task.sid is required".into() };
    let later = vec![
        (0, Refusal::TooOld { oldest: Millis(0) }),
        (1, Refusal::TooNew { newest: Millis(0) }),
        (3, Refusal::AccountMismatch),
        (4, Refusal::LimitExceeded { kind: "workspace", limit: "max_workspaces", most: 9 }),
        (5, Refusal::NameTooLong { field: "task.workflow_name", most: 9 }),
    ];
    let mut sids = Sids::default();
    ["EVa", "EVB", &"é".repeat(40), "", "EVe", "EVf"].into_iter().for_each(|sid| sids.push(sid));
    let all = Ingested { accepted: 7, duplicates: 8, refused: later, revision: 9 };
    let sent = ingested(&sids, vec![(2, early)], all);
    assert_eq!((sent.accepted, sent.duplicates, sent.revision), (7, 8, 9));
    let rows: Vec<_> =
        sent.rejected.iter().map(|row| (row.index, row.event_sid.as_str(), row.reason(), row.field.as_str())).collect();
    let cut = "é".repeat(32);
    assert_eq!(
        rows,
        [
            (0, "EVa", RejectionReason::TooOld, "timestamp"),
            (1, "EVB", RejectionReason::TooNew, "timestamp"),
            (2, cut.as_str(), RejectionReason::MissingField, "task.sid"),
            (3, "", RejectionReason::AccountMismatch, "account_sid"),
            (4, "EVe", RejectionReason::LimitExceeded, ""),
            (5, "EVf", RejectionReason::LimitExceeded, "task.workflow_name"),
        ]
    );
    assert!(sent.rejected[0].message.contains("1970-01-01T00:00:00Z"));
    assert_eq!(sent.rejected[4].message, "no room for another workspace: max_workspaces = 9");
    assert_eq!(sent.rejected[5].message, "task.workflow_name is longer than max_name_bytes = 9 bytes");
}

#[test]
fn a_sum_of_waits_past_the_range_of_a_duration_ends_there() {
    let longest = Millis::MAX.since(Millis::MIN) as u64;
    let links = links();
    let sent = cumulative(stamp(&links), &past(&[accepted(longest), accepted(longest)], &[]));
    let waits = sent.wait_duration_until_accepted.unwrap();
    assert_eq!(waits.total, Some(Duration { seconds: 315_576_000_000, nanos: 0 }));
    assert_eq!((ms(waits.avg), ms(waits.max), waits.count), (longest as i64, longest as i64, 2));
}

/// What is written straight into its bytes is, to the byte, the message.
fn assert_written(realtime: &Realtime, cumulative: &Cumulative, stamp: Stamp) {
    let message = self::realtime(stamp, realtime).encode_to_vec();
    assert_eq!(written::realtime(stamp, realtime).as_bytes(), &message, "{realtime:?}");
    let message = self::cumulative(stamp, cumulative).encode_to_vec();
    assert_eq!(written::cumulative(stamp, cumulative).as_bytes(), &message, "{cumulative:?}");
}

#[test]
fn what_is_written_by_hand_is_the_message_to_the_byte() {
    let links = links();
    assert_written(&state(), &past(&[accepted(999), canceled(12), canceled(7_000)], &[2, 1, 86_400]), stamp(&links));
    let mut random = numbers_of(7);
    for _ in 0..2_000 {
        let mut any = || ANY[random(ANY.len() as u64) as usize];
        let (base, revision, as_of) = ("x".repeat(any() as usize % 200), any(), Millis(any()));
        let sid = |number: i64| [number as u8; 16];
        let activities = (0..any() as u64 % 4)
            .map(|number| ActivityRow {
                sid: ActivitySid::from_bytes(sid(number as i64)),
                name: "é".repeat(any() as usize % 200).into(),
                workers: any(),
            })
            .collect();
        let longest = LongestWaiting { task: TaskSid::from_bytes(sid(any())), since: Millis(any()) };
        let realtime = Realtime {
            account: AccountSid::from_bytes(sid(any())),
            activities,
            total_workers: any(),
            longest_waiting: (any() > 0).then_some(longest),
            by_priority: Box::new([(i32::MIN, any()), (0, any()), (any() as i32 & 0xffff | 1, any())]),
            by_status: StatusCounts {
                pending: any(),
                reserved: any(),
                assigned: any(),
                wrapping: any(),
                completed: any(),
                canceled: any(),
            },
            total_tasks: any(),
            valid_until: None,
        };
        let mut waits = || {
            let (count, total_ms) = (any() as u64, any() as u64 as u128 * any() as u64 as u128);
            Waits { count, total_ms, min_ms: any() as u64, max_ms: any() as u64 }
        };
        let (accepted, canceled) = (waits(), waits());
        let mut totals = Totals::with_thresholds(&[any() as u32 >> 1, any() as u32 >> 1, 1]);
        (totals.accepted, totals.canceled) = (accepted, canceled);
        totals.counts.iter_mut().for_each(|count| *count = any() as u64);
        for split in &mut totals.splits {
            (split.accepted_below, split.canceled_below) = (any() as u64, any() as u64);
        }
        let start = any().clamp(-62_135_596_800, 253_402_300_000);
        let range = SecondRange::new(Second(start), Second(start + 1)).unwrap();
        let cumulative = Cumulative { account: realtime.account, range, totals };
        let links = Links::new(&base);
        let stamp = Stamp { links: &links, workspace: WorkspaceSid::from_bytes(sid(any())), revision, as_of };
        assert_written(&realtime, &cumulative, stamp);
    }
}

/// Numbers around which varints and messages change their length.
const ANY: [i64; 16] =
    [0, 0, 1, 2, 3, 127, 128, 999, 1000, 16_383, 16_384, 1_800_000_000_123, i64::MAX, -1, -1_000_001, 4_294_967_295];

/// Numbers below what is asked for.
fn numbers_of(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}
