//! Answers written straight into their bytes, for calls of which there are many: no message is made first, no length
//! counted ahead. [`super::cumulative`] and [`super::realtime`] are the same as messages, and the tests hold the bytes of
//! both against each other.

use super::{DURATION_MAX_SECONDS, Links, Stamp};
use crate::api::codec::Encoded;
use crate::engine::{ActivityRow, Cumulative, Figure, Realtime, Split, StatusCounts, Waits};
use crate::event::{Millis, Second, Sid};

/// Room for an answer without splits, and for each split.
const ANSWER_BYTES: usize = 512;
const SPLIT_BYTES: usize = 64;
const ROW_BYTES: usize = 64;

/// What happened in an interval: a `WorkspaceCumulativeStatistics`.
pub fn cumulative(stamp: Stamp, cumulative: &Cumulative) -> Encoded {
    let Cumulative { account, range, totals } = cumulative;
    let mut answer = Written::with_room(ANSWER_BYTES + totals.splits.len() * SPLIT_BYTES);
    answer.sid(1, account);
    answer.sid(2, &stamp.workspace);
    answer.url(3, stamp, "CumulativeStatistics");
    answer.second(4, range.start());
    answer.second(5, range.end());
    answer.duration(6, average(&totals.accepted));
    for (field, figure) in (7..).zip(FIGURES) {
        answer.count(field, totals.count(figure));
    }
    answer.waits(19, &totals.canceled);
    answer.waits(20, &totals.accepted);
    for split in &totals.splits {
        answer.split(21, split, &totals.accepted, &totals.canceled);
    }
    answer.int(22, stamp.revision);
    answer.moment(23, stamp.as_of);
    answer.done()
}

/// What is now: a `WorkspaceRealtimeStatistics`.
pub fn realtime(stamp: Stamp, realtime: &Realtime) -> Encoded {
    let Realtime {
        account,
        activities,
        total_workers,
        longest_waiting,
        by_priority,
        by_status,
        total_tasks,
        valid_until: _, // for whoever keeps the answer
    } = realtime;
    let mut answer = Written::with_room(ANSWER_BYTES + activities.len() * ROW_BYTES);
    answer.sid(1, account);
    answer.sid(2, &stamp.workspace);
    answer.url(3, stamp, "RealTimeStatistics");
    for row in activities.iter() {
        answer.activity(4, row);
    }
    let age_ms = longest_waiting.map_or(0, |longest| stamp.as_of.since(longest.since).unsigned_abs());
    answer.duration(5, age_ms.into());
    if let Some(longest) = longest_waiting {
        answer.sid(6, &longest.task);
    }
    for (priority, tasks) in by_priority {
        answer.nested(7, |entry| {
            entry.int(1, i64::from(*priority));
            entry.int(2, *tasks);
        });
    }
    let StatusCounts { pending, reserved, assigned, wrapping, completed, canceled } = *by_status;
    answer.nested(8, |statuses| {
        for (field, tasks) in (1..).zip([pending, reserved, assigned, wrapping, completed, canceled]) {
            statuses.int(field, tasks);
        }
    });
    answer.int(9, *total_tasks);
    answer.int(10, *total_workers);
    if let Some(longest) = longest_waiting {
        answer.moment(11, longest.since);
    }
    answer.int(12, stamp.revision);
    answer.moment(13, stamp.as_of);
    answer.done()
}

/// Fields 7 to 18, in their order.
const FIGURES: [Figure; Figure::COUNT] = [
    Figure::TasksCreated,
    Figure::TasksCanceled,
    Figure::TasksCompleted,
    Figure::TasksDeleted,
    Figure::TasksMoved,
    Figure::TasksTimedOutInWorkflow,
    Figure::ReservationsCreated,
    Figure::ReservationsAccepted,
    Figure::ReservationsRejected,
    Figure::ReservationsTimedOut,
    Figure::ReservationsCanceled,
    Figure::ReservationsRescinded,
];

/// A message as far as it is written. As Protocol Buffers have it, a number that is zero and a text that is empty are left
/// out, and a nested message never is.
struct Written(Vec<u8>);

/// The wire types that occur.
const VARINT: u32 = 0;
const LENGTH: u32 = 2;

impl Written {
    fn with_room(bytes: usize) -> Written {
        Written(Vec::with_capacity(bytes))
    }

    fn done(self) -> Encoded {
        Encoded::of_bytes(self.0)
    }

    #[inline]
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    #[inline]
    fn tag(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    /// An int32 or int64: negative numbers take ten bytes either way.
    #[inline]
    fn int(&mut self, field: u32, number: i64) {
        if number != 0 {
            self.tag(field, VARINT);
            self.varint(number as u64);
        }
    }

    fn count(&mut self, field: u32, number: u64) {
        self.int(field, super::count(number));
    }

    fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.tag(field, LENGTH);
            self.varint(text.len() as u64);
            self.0.extend_from_slice(text.as_bytes());
        }
    }

    fn sid<const A: u8, const B: u8>(&mut self, field: u32, sid: &Sid<A, B>) {
        self.tag(field, LENGTH);
        self.varint(Sid::<A, B>::TEXT_LEN as u64);
        self.0.extend_from_slice(&sid.text());
    }

    /// As [`Links::to`].
    fn url(&mut self, field: u32, stamp: Stamp, resource: &str) {
        let Links { base } = stamp.links;
        self.tag(field, LENGTH);
        let sid = stamp.workspace.text();
        self.varint((base.len() + Links::WORKSPACES.len() + sid.len() + 1 + resource.len()) as u64);
        self.0.extend_from_slice(base.as_bytes());
        self.0.extend_from_slice(Links::WORKSPACES.as_bytes());
        self.0.extend_from_slice(&sid);
        self.0.push(b'/');
        self.0.extend_from_slice(resource.as_bytes());
    }

    /// A message within this one, of less than 128 bytes, so that its length is one byte, which is written afterwards.
    #[inline]
    fn nested(&mut self, field: u32, write: impl FnOnce(&mut Written)) {
        self.tag(field, LENGTH);
        self.0.push(0);
        let start = self.0.len();
        write(self);
        let length = self.0.len() - start;
        debug_assert!(length < 0x80, "a message of {length} bytes within field {field}");
        self.0[start - 1] = length as u8;
    }

    fn second(&mut self, field: u32, second: Second) {
        self.nested(field, |timestamp| timestamp.int(1, second.0));
    }

    fn moment(&mut self, field: u32, moment: Millis) {
        self.nested(field, |timestamp| {
            timestamp.int(1, moment.0.div_euclid(1000));
            timestamp.int(2, moment.0.rem_euclid(1000) * 1_000_000);
        });
    }

    /// Of so many milliseconds, and at most what a Duration can hold.
    fn duration(&mut self, field: u32, ms: u128) {
        let ms = ms.min(DURATION_MAX_SECONDS * 1000) as i64;
        self.nested(field, |duration| {
            duration.int(1, ms / 1000);
            duration.int(2, ms % 1000 * 1_000_000);
        });
    }

    fn waits(&mut self, field: u32, waits: &Waits) {
        let least_ms = if waits.count == 0 { 0 } else { waits.min_ms };
        self.nested(field, |message| {
            message.duration(1, average(waits));
            message.duration(2, least_ms.into());
            message.duration(3, waits.max_ms.into());
            message.duration(4, waits.total_ms);
            message.count(5, waits.count);
        });
    }

    /// An entry of the map by threshold.
    fn split(&mut self, field: u32, split: &Split, accepted: &Waits, canceled: &Waits) {
        let Split { threshold, accepted_below, canceled_below } = *split;
        self.nested(field, |entry| {
            entry.int(1, i64::from(threshold));
            entry.nested(2, |sides| {
                sides.nested(1, |above| {
                    above.count(1, canceled.count.saturating_sub(canceled_below));
                    above.count(2, accepted.count.saturating_sub(accepted_below));
                });
                sides.nested(2, |below| {
                    below.count(1, canceled_below);
                    below.count(2, accepted_below);
                });
            });
        });
    }

    /// The one nested message that a name may make longer than 127 bytes.
    fn activity(&mut self, field: u32, row: &ActivityRow) {
        let ActivityRow { sid, name, workers } = row;
        let start = self.0.len();
        self.sid(1, sid);
        self.text(2, name);
        self.int(3, *workers);
        let length = (self.0.len() - start) as u64;
        // What stands before it has to be known first: it is put there once it is.
        let body_end = self.0.len();
        self.tag(field, LENGTH);
        self.varint(length);
        let head = self.0.len() - body_end;
        self.0[start..].rotate_right(head);
    }
}

/// In milliseconds, rounded down; 0 of no waits.
fn average(waits: &Waits) -> u128 {
    // Hardly ever does a sum need more than 64 bits, whose division is much quicker.
    match (u64::try_from(waits.total_ms), waits.count) {
        (_, 0) => 0,
        (Ok(total_ms), count) => u128::from(total_ms / count),
        (Err(_), count) => waits.total_ms / u128::from(count),
    }
}
