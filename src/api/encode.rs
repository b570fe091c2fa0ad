//! From the engine's answers to the wire's messages.

mod event;
mod letter;
pub mod written;

pub use event::event;
pub use letter::dead_letter;

use prost_types::{Duration, Timestamp};

use super::decode::{Refused, Sids};
use super::proto::v1::{self, RejectionReason};
use super::status::cut;
use crate::engine::{ActivityRow, ChannelRow, Cumulative, Figure, Realtime, Split, StatusCounts, Waits, WorkspaceRow};
use crate::event::{Millis, Second, WorkspaceSid};
use crate::limits;
use crate::measure;
use crate::pipeline::{Ingested, Refusal, Stamped};

/// Where the statistics are found over HTTP.
#[derive(Clone, Debug)]
pub struct Links {
    base: Box<str>,
}

impl Links {
    /// `base` is the public address of this server, such as `https://stats.example.com`.
    pub fn new(base: &str) -> Links {
        Links { base: base.trim_end_matches('/').into() }
    }

    /// The URL of this path and query, by which the outside knows it.
    pub fn public(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base)
    }

    const WORKSPACES: &str = "/v1/Workspaces/";

    fn to(&self, workspace: WorkspaceSid, resource: &str) -> String {
        format!("{}{}{workspace}/{resource}", self.base, Self::WORKSPACES)
    }
}

/// What stands on every answer: who it is about, and of which state and moment.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    pub links: &'a Links,
    pub workspace: WorkspaceSid,
    pub revision: i64,
    pub as_of: Millis,
}

impl<'a> Stamp<'a> {
    pub fn of<T>(links: &'a Links, workspace: WorkspaceSid, stamped: &Stamped<T>) -> Stamp<'a> {
        Stamp { links, workspace, revision: stamped.revision, as_of: stamped.as_of }
    }
}

pub fn statistics(stamp: Stamp, realtime: &Realtime, cumulative: &Cumulative) -> v1::WorkspaceStatistics {
    v1::WorkspaceStatistics {
        account_sid: realtime.account.to_string(),
        workspace_sid: stamp.workspace.to_string(),
        url: stamp.links.to(stamp.workspace, "Statistics"),
        realtime: Some(self::realtime(stamp, realtime)),
        cumulative: Some(self::cumulative(stamp, cumulative)),
    }
}

pub fn realtime(stamp: Stamp, realtime: &Realtime) -> v1::WorkspaceRealtimeStatistics {
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
    let age_ms = longest_waiting.map_or(0, |longest| stamp.as_of.since(longest.since).unsigned_abs());
    v1::WorkspaceRealtimeStatistics {
        account_sid: account.to_string(),
        workspace_sid: stamp.workspace.to_string(),
        url: stamp.links.to(stamp.workspace, "RealTimeStatistics"),
        activity_statistics: activities.iter().map(activity).collect(),
        longest_task_waiting_age: Some(duration(age_ms.into())),
        longest_task_waiting_sid: longest_waiting.map(|longest| longest.task.to_string()).unwrap_or_default(),
        tasks_by_priority: by_priority.iter().copied().collect(),
        tasks_by_status: Some(tasks_by_status(by_status)),
        total_tasks: *total_tasks,
        total_workers: *total_workers,
        longest_task_waiting_since: longest_waiting.map(|longest| timestamp(longest.since)),
        revision: stamp.revision,
        as_of: Some(timestamp(stamp.as_of)),
    }
}

fn activity(row: &ActivityRow) -> v1::ActivityStatistics {
    let ActivityRow { sid, name, workers } = row;
    v1::ActivityStatistics { sid: sid.to_string(), friendly_name: name.to_string(), workers: *workers }
}

fn tasks_by_status(counts: &StatusCounts) -> v1::TasksByStatus {
    let StatusCounts { pending, reserved, assigned, wrapping, completed, canceled } = *counts;
    v1::TasksByStatus { pending, reserved, assigned, wrapping, completed, canceled }
}

pub fn cumulative(stamp: Stamp, cumulative: &Cumulative) -> v1::WorkspaceCumulativeStatistics {
    let Cumulative { account, range, totals } = cumulative;
    let counted = |figure| count(totals.count(figure));
    let until_accepted = waits(&totals.accepted);
    v1::WorkspaceCumulativeStatistics {
        account_sid: account.to_string(),
        workspace_sid: stamp.workspace.to_string(),
        url: stamp.links.to(stamp.workspace, "CumulativeStatistics"),
        start_time: Some(second(range.start())),
        end_time: Some(second(range.end())),
        avg_task_acceptance_time: until_accepted.avg,
        tasks_created: counted(Figure::TasksCreated),
        tasks_canceled: counted(Figure::TasksCanceled),
        tasks_completed: counted(Figure::TasksCompleted),
        tasks_deleted: counted(Figure::TasksDeleted),
        tasks_moved: counted(Figure::TasksMoved),
        tasks_timed_out_in_workflow: counted(Figure::TasksTimedOutInWorkflow),
        reservations_created: counted(Figure::ReservationsCreated),
        reservations_accepted: counted(Figure::ReservationsAccepted),
        reservations_rejected: counted(Figure::ReservationsRejected),
        reservations_timed_out: counted(Figure::ReservationsTimedOut),
        reservations_canceled: counted(Figure::ReservationsCanceled),
        reservations_rescinded: counted(Figure::ReservationsRescinded),
        wait_duration_until_canceled: Some(waits(&totals.canceled)),
        wait_duration_until_accepted: Some(until_accepted),
        split_by_wait_time: totals.splits.iter().map(|s| split(s, &totals.accepted, &totals.canceled)).collect(),
        revision: stamp.revision,
        as_of: Some(timestamp(stamp.as_of)),
    }
}

/// What happened bucket by bucket, all in one state.
pub fn series(stamp: Stamp, buckets: &[Cumulative]) -> v1::GetCumulativeSeriesResponse {
    v1::GetCumulativeSeriesResponse {
        buckets: buckets.iter().map(|bucket| cumulative(stamp, bucket)).collect(),
        revision: stamp.revision,
        as_of: Some(timestamp(stamp.as_of)),
    }
}

fn waits(waits: &Waits) -> v1::WaitDuration {
    let Waits { count: samples, total_ms, min_ms, max_ms } = *waits;
    let (avg_ms, min_ms) = if samples == 0 { (0, 0) } else { (total_ms / u128::from(samples), min_ms) };
    v1::WaitDuration {
        avg: Some(duration(avg_ms)),
        min: Some(duration(min_ms.into())),
        max: Some(duration(max_ms.into())),
        total: Some(duration(total_ms)),
        count: count(samples),
    }
}

fn split(split: &Split, accepted: &Waits, canceled: &Waits) -> (i32, v1::WaitTimeSplit) {
    let Split { threshold, accepted_below, canceled_below } = *split;
    let counts = |canceled, accepted| v1::WaitTimeCounts {
        tasks_canceled: count(canceled),
        reservations_accepted: count(accepted),
    };
    let above = counts(canceled.count.saturating_sub(canceled_below), accepted.count.saturating_sub(accepted_below));
    let below = counts(canceled_below, accepted_below);
    // A threshold came in as an int32, so it fits.
    let threshold = i32::try_from(threshold).unwrap_or(i32::MAX);
    (threshold, v1::WaitTimeSplit { above: Some(above), below: Some(below) })
}

pub fn workspace(row: &WorkspaceRow) -> v1::Workspace {
    let WorkspaceRow { workspace, account } = row;
    v1::Workspace { workspace_sid: workspace.to_string(), account_sid: account.to_string() }
}

pub fn task_channel(row: &ChannelRow) -> v1::TaskChannel {
    let ChannelRow { unique_name, sid, active_tasks } = row;
    v1::TaskChannel {
        unique_name: unique_name.to_string(),
        sid: sid.map(|sid| sid.to_string()).unwrap_or_default(),
        active_tasks: *active_tasks,
    }
}

/// What became of one request: of the events refused by the decoder, and of those that went on.
pub fn ingested(sids: &Sids, refused: Vec<(u32, Refused)>, ingested: Ingested) -> v1::IngestEventsResponse {
    let Ingested { accepted, duplicates, refused: refused_later, revision } = ingested;
    let later = refused_later.into_iter().map(|(index, refusal)| (index, refusal_of(refusal)));
    let mut all: Vec<(u32, Refused)> = refused.into_iter().chain(later).collect();
    all.sort_by_key(|(index, _)| *index);
    let rejected = all.into_iter().map(|(index, refused)| rejected(sids, index, refused)).collect();
    v1::IngestEventsResponse { accepted: count(accepted), duplicates: count(duplicates), rejected, revision }
}

fn rejected(sids: &Sids, index: u32, refused: Refused) -> v1::RejectedEvent {
    let Refused { reason, field, message } = refused;
    v1::RejectedEvent {
        // A request has far fewer events than an int32 can count.
        index: i32::try_from(index).unwrap_or(i32::MAX),
        event_sid: cut(sids.get(index), limits::ECHOED_SID_BYTES).to_owned(),
        reason: reason.into(),
        field: field.to_owned(),
        message,
    }
}

fn refusal_of(refusal: Refusal) -> Refused {
    let (reason, field, message) = match refusal {
        Refusal::TooOld { oldest } => {
            let message = format!("timestamp is before {}, the oldest that is taken", timestamp(oldest));
            (RejectionReason::TooOld, "timestamp", message)
        }
        Refusal::TooNew { newest } => {
            let message = format!("timestamp is after {}, the newest that is taken", timestamp(newest));
            (RejectionReason::TooNew, "timestamp", message)
        }
        Refusal::AccountMismatch => {
            let message = "account_sid is not the account that the workspace first appeared with, or not that of your credentials".to_owned();
            (RejectionReason::AccountMismatch, "account_sid", message)
        }
        Refusal::NameTooLong { field, most } => {
            measure::refused_by("max_name_bytes");
            (RejectionReason::LimitExceeded, field, format!("{field} is longer than max_name_bytes = {most} bytes"))
        }
        Refusal::LimitExceeded { kind, limit, most } => {
            measure::refused_by(limit);
            (RejectionReason::LimitExceeded, "", format!("no room for another {kind}: {limit} = {most}"))
        }
    };
    Refused { reason, field, message }
}

/// Counts of events and objects are far below what the wire can state.
fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Seconds that a Duration may hold: 10,000 years. A sum of waits can pass it, since a producer that leaves
/// `date_created` at some zero makes each wait decades long; and JSON has no form for more.
const DURATION_MAX_SECONDS: u128 = 315_576_000_000;

/// From milliseconds; never negative, and at most what a Duration can hold.
fn duration(ms: u128) -> Duration {
    let ms = ms.min(DURATION_MAX_SECONDS * 1000);
    let nanos = i32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
    Duration { seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX), nanos }
}

pub(super) fn timestamp(moment: Millis) -> Timestamp {
    let nanos = i32::try_from(moment.0.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    Timestamp { seconds: moment.0.div_euclid(1000), nanos }
}

fn second(second: Second) -> Timestamp {
    Timestamp { seconds: second.0, nanos: 0 }
}

#[cfg(test)]
mod tests;
