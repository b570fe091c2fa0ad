//! From requests to questions, collecting everything that is wrong with them.

use std::time::Duration;

use prost_types::Timestamp;
use tonic_types::FieldViolation;

use super::Violations;
use crate::api::proto::v1;
use crate::api::status::bucket_rule;
use crate::engine::{ChannelFilter, Window};
use crate::event::{Millis, WorkspaceSid};
use crate::limits;
use crate::pipeline::least_bucket_s;

/// What is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealtimeRequest {
    pub workspace: WorkspaceSid,
    pub channel: ChannelFilter,
}

/// What happened in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CumulativeRequest {
    pub workspace: WorkspaceSid,
    pub channel: ChannelFilter,
    pub window: Window,
    /// In seconds, as listed.
    pub thresholds: Box<[u32]>,
}

/// What happened in a window, bucket by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesRequest {
    pub of: CumulativeRequest,
    /// Length of a bucket in seconds, at least 1.
    pub bucket_s: i64,
}

/// How often a watcher wants a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Least time between two messages.
    pub min_interval: Duration,
    /// Longest time without a message; never below `min_interval`.
    pub heartbeat: Duration,
}

/// What is now, and again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRequest {
    pub workspace: WorkspaceSid,
    pub channel: ChannelFilter,
    pub pace: Pace,
}

/// What is now and what happened in a window, and again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchStatisticsRequest {
    pub of: CumulativeRequest,
    pub pace: Pace,
}

pub fn realtime(request: v1::GetRealtimeRequest) -> Result<RealtimeRequest, Vec<FieldViolation>> {
    let v1::GetRealtimeRequest { workspace_sid, task_channel } = request;
    let mut bad = Violations::default();
    let workspace = bad.workspace(&workspace_sid);
    bad.or(RealtimeRequest { workspace, channel: ChannelFilter::parse(&task_channel) })
}

pub fn forget_workspace(request: v1::ForgetWorkspaceRequest) -> Result<WorkspaceSid, Vec<FieldViolation>> {
    let v1::ForgetWorkspaceRequest { workspace_sid } = request;
    let mut bad = Violations::default();
    let workspace = bad.workspace(&workspace_sid);
    bad.or(workspace)
}

/// How many workspaces to tell of.
pub fn status(request: v1::GetStatusRequest) -> Result<usize, Vec<FieldViolation>> {
    let v1::GetStatusRequest { workspaces } = request;
    let mut bad = Violations::default();
    let rows = usize::try_from(workspaces).unwrap_or_else(|_| {
        bad.add("workspaces", "must not be negative");
        0
    });
    bad.or(if rows == 0 { limits::STATUS_WORKSPACES } else { rows.min(limits::STATUS_WORKSPACES_MAX) })
}

pub fn statistics(request: v1::GetStatisticsRequest) -> Result<CumulativeRequest, Vec<FieldViolation>> {
    let v1::GetStatisticsRequest { workspace_sid, task_channel, minutes, start_time, end_time, split_by_wait_time } =
        request;
    cumulative(v1::GetCumulativeRequest {
        workspace_sid,
        task_channel,
        minutes,
        start_time,
        end_time,
        split_by_wait_time,
    })
}

pub fn cumulative(request: v1::GetCumulativeRequest) -> Result<CumulativeRequest, Vec<FieldViolation>> {
    let v1::GetCumulativeRequest { workspace_sid, task_channel, minutes, start_time, end_time, split_by_wait_time } =
        request;
    let mut bad = Violations::default();
    let workspace = bad.workspace(&workspace_sid);
    let window = bad.window(minutes, start_time, end_time);
    let thresholds = bad.thresholds(&split_by_wait_time);
    bad.or(CumulativeRequest { workspace, channel: ChannelFilter::parse(&task_channel), window, thresholds })
}

pub fn series(request: v1::GetCumulativeSeriesRequest) -> Result<SeriesRequest, Vec<FieldViolation>> {
    let v1::GetCumulativeSeriesRequest {
        workspace_sid,
        task_channel,
        minutes,
        start_time,
        end_time,
        split_by_wait_time,
        bucket,
    } = request;
    let mut bad = Violations::default();
    let workspace = bad.workspace(&workspace_sid);
    let window = bad.window(minutes, start_time, end_time);
    let thresholds = bad.thresholds(&split_by_wait_time);
    let bucket_s = bad.bucket(bucket, window);
    let of = CumulativeRequest { workspace, channel: ChannelFilter::parse(&task_channel), window, thresholds };
    bad.or(SeriesRequest { of, bucket_s })
}

pub fn watch_realtime(request: v1::WatchRealtimeRequest) -> Result<WatchRequest, Vec<FieldViolation>> {
    let v1::WatchRealtimeRequest { workspace_sid, task_channel, min_interval, heartbeat_interval } = request;
    let mut bad = Violations::default();
    let workspace = bad.workspace(&workspace_sid);
    let pace = bad.pace(min_interval, heartbeat_interval);
    bad.or(WatchRequest { workspace, channel: ChannelFilter::parse(&task_channel), pace })
}

pub fn watch_statistics(request: v1::WatchStatisticsRequest) -> Result<WatchStatisticsRequest, Vec<FieldViolation>> {
    let v1::WatchStatisticsRequest {
        workspace_sid,
        task_channel,
        minutes,
        start_time,
        end_time,
        split_by_wait_time,
        min_interval,
        heartbeat_interval,
    } = request;
    let mut bad = Violations::default();
    let workspace = bad.workspace(&workspace_sid);
    let window = bad.window(minutes, start_time, end_time);
    let thresholds = bad.thresholds(&split_by_wait_time);
    let pace = bad.pace(min_interval, heartbeat_interval);
    let of = CumulativeRequest { workspace, channel: ChannelFilter::parse(&task_channel), window, thresholds };
    bad.or(WatchStatisticsRequest { of, pace })
}

impl Violations {
    /// The window, as far as can be told without a clock.
    fn window(&mut self, minutes: Option<i32>, start: Option<Timestamp>, end: Option<Timestamp>) -> Window {
        let alone = start.is_none() && end.is_none();
        if minutes.is_some() && !alone {
            self.add("minutes", "cannot be combined with start_time or end_time");
        } else if minutes.is_some_and(|minutes| !(limits::MINUTES_MIN..=limits::MINUTES_MAX).contains(&minutes)) {
            self.add("minutes", format!("must be from {} to {}", limits::MINUTES_MIN, limits::MINUTES_MAX));
        }
        let window = match (minutes, self.time("start_time", start), self.end_time(end)) {
            (None, None, None) => Window::Default15,
            (Some(minutes), None, None) => Window::Minutes(minutes.unsigned_abs()),
            (_, Some(start), None) => Window::From(start),
            (_, Some(start), Some(end)) => Window::Between { start, end },
            (_, None, Some(end)) => Window::Until(end),
        };
        if matches!(window, Window::Between { .. }) && window.is_always_empty() {
            self.add("end_time", "must be after start_time, once rounded to whole seconds");
        }
        window
    }

    /// An end rounds up to a whole second, so what is beyond its millisecond must not be lost in the cut.
    fn end_time(&mut self, end: Option<Timestamp>) -> Option<Millis> {
        let beyond = end.is_some_and(|end| end.nanos % 1_000_000 != 0);
        self.time("end_time", end).map(|end| end.plus(i64::from(beyond)).min(Millis::MAX))
    }

    /// The bad ones are named in one violation: they are one field.
    fn thresholds(&mut self, seconds: &[i32]) -> Box<[u32]> {
        if seconds.len() > limits::THRESHOLDS {
            self.add(
                "split_by_wait_time",
                format!("must have at most {} thresholds, not {}", limits::THRESHOLDS, seconds.len()),
            );
            return Box::default();
        }
        let (least, most) = (limits::THRESHOLD_MIN_SECONDS, limits::THRESHOLD_MAX_SECONDS);
        let is_bad = |second: &&i32| !(least..=most).contains(*second);
        if seconds.iter().any(|second| is_bad(&second)) {
            let bad = seconds.iter().filter(is_bad).map(i32::to_string).collect::<Vec<_>>().join(", ");
            self.add("split_by_wait_time", format!("must be from {least} to {most} seconds each, not {bad}"));
        }
        // A bad one refuses the question, and needs not be left out.
        seconds.iter().map(|second| second.unsigned_abs()).collect()
    }

    /// In seconds. Of an interval that has too many it is said beside the other faults, since all are to be named. Alone it
    /// is left to whoever has the clock: where the interval starts too early, a longer bucket would not help.
    fn bucket(&mut self, bucket: Option<prost_types::Duration>, window: Window) -> i64 {
        let Some(prost_types::Duration { seconds, nanos }) = bucket else {
            self.add("bucket", "is required");
            return 1;
        };
        if seconds < 1 || nanos != 0 {
            self.add("bucket", "must be whole seconds, at least 1");
            return 1;
        }
        if !self.0.is_empty()
            && let Some(length) = window.seconds()
            && length > limits::SERIES_BUCKETS.saturating_mul(seconds)
        {
            self.add("bucket", bucket_rule(least_bucket_s(length)));
        }
        seconds
    }

    /// The defaults where intervals are absent.
    fn pace(&mut self, min: Option<prost_types::Duration>, heartbeat: Option<prost_types::Duration>) -> Pace {
        let given_min = self.interval("min_interval", min, limits::WATCH_MIN_INTERVAL_MIN);
        let given_heartbeat = self.interval("heartbeat_interval", heartbeat, limits::WATCH_HEARTBEAT_MIN);
        let min_interval = given_min.unwrap_or(limits::WATCH_MIN_INTERVAL_DEFAULT);
        if given_heartbeat.is_some_and(|heartbeat| heartbeat < min_interval) {
            self.add("heartbeat_interval", "must not be below min_interval");
        }
        let heartbeat = given_heartbeat.unwrap_or(limits::WATCH_HEARTBEAT_DEFAULT.max(min_interval));
        Pace { min_interval, heartbeat }
    }

    /// `None` where it is absent, or bad and so listed.
    fn interval(&mut self, field: &str, given: Option<prost_types::Duration>, least: Duration) -> Option<Duration> {
        let interval = length(&given?).filter(|length| (least..=limits::WATCH_INTERVAL_MAX).contains(length));
        if interval.is_none() {
            let (least, most) = (least.as_millis(), limits::WATCH_INTERVAL_MAX.as_secs());
            self.add(field, format!("must be from {least} ms to {most} s"));
        }
        interval
    }
}

/// `None` where it is negative or not normal.
fn length(duration: &prost_types::Duration) -> Option<Duration> {
    let prost_types::Duration { seconds, nanos } = *duration;
    let (seconds, nanos) = (u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
    (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
}
