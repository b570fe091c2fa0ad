//! Answers as TaskRouter's JSON.
//!
//! Every number is whole, and every time without a fraction, since some libraries take nothing else. What passes with the
//! clock alone and says nothing about the workspace (`as_of`, `revision`, the ends of an interval that follows now) is
//! written last in its object and left out of the validator, which would otherwise never match.

use std::collections::BTreeMap;

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use super::time;
use crate::api::proto::{Duration, Timestamp, v1};

/// One answer, written.
pub struct Sheet {
    text: Vec<u8>,
    lasting: Xxh3,
}

#[derive(Serialize)]
struct Realtime<'a> {
    account_sid: &'a str,
    workspace_sid: &'a str,
    url: &'a str,
    activity_statistics: Vec<Activity<'a>>,
    longest_task_waiting_age: i64,
    longest_task_waiting_sid: Option<&'a str>,
    longest_task_waiting_since: Option<String>,
    tasks_by_priority: &'a BTreeMap<i32, i64>,
    tasks_by_status: ByStatus,
    total_tasks: i64,
    total_workers: i64,
}

#[derive(Serialize)]
struct Activity<'a> {
    sid: &'a str,
    friendly_name: &'a str,
    workers: i64,
}

#[derive(Default, Serialize)]
struct ByStatus {
    pending: i64,
    reserved: i64,
    assigned: i64,
    wrapping: i64,
    completed: i64,
    canceled: i64,
}

#[derive(Serialize)]
struct Cumulative<'a> {
    account_sid: &'a str,
    workspace_sid: &'a str,
    url: &'a str,
    avg_task_acceptance_time: i64,
    tasks_created: i64,
    tasks_canceled: i64,
    tasks_completed: i64,
    tasks_deleted: i64,
    tasks_moved: i64,
    tasks_timed_out_in_workflow: i64,
    reservations_created: i64,
    reservations_accepted: i64,
    reservations_rejected: i64,
    reservations_timed_out: i64,
    reservations_canceled: i64,
    reservations_rescinded: i64,
    wait_duration_until_canceled: Waits,
    wait_duration_until_accepted: Waits,
    split_by_wait_time: BTreeMap<i32, Split>,
}

#[derive(Default, Serialize)]
struct Waits {
    avg: i64,
    min: i64,
    max: i64,
    total: i64,
    count: i64,
}

#[derive(Serialize)]
struct Split {
    above: Counts,
    below: Counts,
}

#[derive(Default, Serialize)]
struct Counts {
    tasks_canceled: i64,
    reservations_accepted: i64,
}

/// What of an object passes with the clock.
#[derive(Serialize)]
struct Passing {
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    revision: i64,
    as_of: String,
}

#[derive(Serialize)]
struct Whose<'a> {
    account_sid: &'a str,
    workspace_sid: &'a str,
    url: &'a str,
}

impl Sheet {
    fn empty() -> Sheet {
        // Enough for a workspace of a dozen activities.
        Sheet { text: Vec::with_capacity(2048), lasting: Xxh3::new() }
    }

    pub fn realtime(realtime: &v1::WorkspaceRealtimeStatistics) -> Sheet {
        let mut sheet = Sheet::empty();
        sheet.add_realtime(realtime);
        sheet
    }

    pub fn cumulative(cumulative: &v1::WorkspaceCumulativeStatistics) -> Sheet {
        let mut sheet = Sheet::empty();
        sheet.add_cumulative(cumulative);
        sheet
    }

    pub fn statistics(statistics: &v1::WorkspaceStatistics) -> Sheet {
        let v1::WorkspaceStatistics { account_sid, workspace_sid, url, realtime, cumulative } = statistics;
        let mut sheet = Sheet::empty();
        sheet.add(&Whose { account_sid, workspace_sid, url });
        sheet.reopen(br#","realtime":"#);
        sheet.add_realtime(realtime.as_ref().unwrap_or(&v1::WorkspaceRealtimeStatistics::default()));
        sheet.text.extend_from_slice(br#","cumulative":"#);
        sheet.add_cumulative(cumulative.as_ref().unwrap_or(&v1::WorkspaceCumulativeStatistics::default()));
        sheet.text.push(b'}');
        sheet
    }

    pub fn into_text(self) -> Vec<u8> {
        self.text
    }

    /// The same for answers that say the same of the workspace. Weak, since it is not about each byte.
    pub fn validator(&self) -> String {
        format!("W/\"{:032x}\"", self.lasting.digest128())
    }

    fn add_realtime(&mut self, realtime: &v1::WorkspaceRealtimeStatistics) {
        let v1::WorkspaceRealtimeStatistics {
            account_sid,
            workspace_sid,
            url,
            activity_statistics,
            longest_task_waiting_age,
            longest_task_waiting_sid,
            tasks_by_priority,
            tasks_by_status,
            total_tasks,
            total_workers,
            longest_task_waiting_since,
            revision,
            as_of,
        } = realtime;
        self.add(&Realtime {
            account_sid,
            workspace_sid,
            url,
            activity_statistics: activity_statistics.iter().map(activity).collect(),
            longest_task_waiting_age: seconds(longest_task_waiting_age.as_ref()),
            longest_task_waiting_sid: Some(longest_task_waiting_sid.as_str()).filter(|sid| !sid.is_empty()),
            longest_task_waiting_since: longest_task_waiting_since.as_ref().map(|since| time::text(since.seconds)),
            tasks_by_priority,
            tasks_by_status: tasks_by_status.as_ref().map(by_status).unwrap_or_default(),
            total_tasks: *total_tasks,
            total_workers: *total_workers,
        });
        self.pass(&Passing { start_time: None, end_time: None, revision: *revision, as_of: moment(as_of.as_ref()) });
    }

    fn add_cumulative(&mut self, cumulative: &v1::WorkspaceCumulativeStatistics) {
        let v1::WorkspaceCumulativeStatistics {
            account_sid,
            workspace_sid,
            url,
            start_time,
            end_time,
            avg_task_acceptance_time,
            tasks_created,
            tasks_canceled,
            tasks_completed,
            tasks_deleted,
            tasks_moved,
            tasks_timed_out_in_workflow,
            reservations_created,
            reservations_accepted,
            reservations_rejected,
            reservations_timed_out,
            reservations_canceled,
            reservations_rescinded,
            wait_duration_until_canceled,
            wait_duration_until_accepted,
            split_by_wait_time,
            revision,
            as_of,
        } = cumulative;
        self.add(&Cumulative {
            account_sid,
            workspace_sid,
            url,
            avg_task_acceptance_time: seconds(avg_task_acceptance_time.as_ref()),
            tasks_created: *tasks_created,
            tasks_canceled: *tasks_canceled,
            tasks_completed: *tasks_completed,
            tasks_deleted: *tasks_deleted,
            tasks_moved: *tasks_moved,
            tasks_timed_out_in_workflow: *tasks_timed_out_in_workflow,
            reservations_created: *reservations_created,
            reservations_accepted: *reservations_accepted,
            reservations_rejected: *reservations_rejected,
            reservations_timed_out: *reservations_timed_out,
            reservations_canceled: *reservations_canceled,
            reservations_rescinded: *reservations_rescinded,
            wait_duration_until_canceled: wait_duration_until_canceled.as_ref().map(waits).unwrap_or_default(),
            wait_duration_until_accepted: wait_duration_until_accepted.as_ref().map(waits).unwrap_or_default(),
            split_by_wait_time: split_by_wait_time.iter().map(|(threshold, of)| (*threshold, split(of))).collect(),
        });
        let (start_time, end_time) = (Some(moment(start_time.as_ref())), Some(moment(end_time.as_ref())));
        self.pass(&Passing { start_time, end_time, revision: *revision, as_of: moment(as_of.as_ref()) });
    }

    /// Writes an object of what lasts.
    fn add(&mut self, lasting: &impl Serialize) {
        let from = self.text.len();
        write(&mut self.text, lasting);
        self.lasting.update(&self.text[from..]);
    }

    /// Writes into the object just written what passes.
    fn pass(&mut self, passing: &Passing) {
        self.reopen(b",");
        let from = self.text.len();
        write(&mut self.text, passing);
        self.text.remove(from);
    }

    /// Goes on within the object just written.
    fn reopen(&mut self, with: &[u8]) {
        self.text.pop();
        self.text.extend_from_slice(with);
    }
}

fn write(text: &mut Vec<u8>, value: &impl Serialize) {
    if let Err(error) = serde_json::to_writer(text, value) {
        unreachable!("numbers and text are written into memory: {error}");
    }
}

fn activity(row: &v1::ActivityStatistics) -> Activity<'_> {
    let v1::ActivityStatistics { sid, friendly_name, workers } = row;
    Activity { sid, friendly_name, workers: *workers }
}

fn by_status(counts: &v1::TasksByStatus) -> ByStatus {
    let v1::TasksByStatus { pending, reserved, assigned, wrapping, completed, canceled } = *counts;
    ByStatus { pending, reserved, assigned, wrapping, completed, canceled }
}

fn waits(waits: &v1::WaitDuration) -> Waits {
    let v1::WaitDuration { avg, min, max, total, count } = waits;
    let [avg, min, max, total] = [avg, min, max, total].map(|wait| seconds(wait.as_ref()));
    Waits { avg, min, max, total, count: *count }
}

fn split(split: &v1::WaitTimeSplit) -> Split {
    let v1::WaitTimeSplit { above, below } = split;
    let [above, below] = [above, below].map(|side| side.as_ref().map(counts).unwrap_or_default());
    Split { above, below }
}

fn counts(counts: &v1::WaitTimeCounts) -> Counts {
    let v1::WaitTimeCounts { tasks_canceled, reservations_accepted } = *counts;
    Counts { tasks_canceled, reservations_accepted }
}

/// Whole ones, rounded down.
fn seconds(duration: Option<&Duration>) -> i64 {
    duration.map_or(0, |duration| duration.seconds)
}

fn moment(timestamp: Option<&Timestamp>) -> String {
    timestamp.map(|timestamp| time::text(timestamp.seconds)).unwrap_or_default()
}
