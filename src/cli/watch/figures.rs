//! What the server tells, as the board needs it: counts that fit, names that a terminal can be sent.

use std::time::Duration;

use crate::api::proto::v1::{WorkspaceCumulativeStatistics, WorkspaceRealtimeStatistics};
use crate::cli::text::printable;
use crate::limits;

/// The windows of the board: their lengths in minutes, and those of their trends' buckets in seconds, as the wallboard's.
pub const WINDOWS: [(u32, i64); 3] = [(15, 60), (240, 600), (480, 1200)];

/// What is.
#[derive(Clone, Debug, Default)]
pub struct Realtime {
    pub as_of_ms: i64,
    pub revision: i64,
    pub total_tasks: u64,
    /// Pending, reserved, assigned, wrapping.
    pub by_status: [u64; 4],
    pub completed: u64,
    pub canceled: u64,
    /// The highest first.
    pub priorities: Vec<Row>,
    pub total_workers: u64,
    pub activities: Vec<Row>,
    pub longest: Option<Longest>,
    /// As it came.
    pub whole: Box<WorkspaceRealtimeStatistics>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub count: u64,
}

#[derive(Clone, Debug)]
pub struct Longest {
    /// At the moment of the message.
    pub age: Duration,
    pub since_ms: i64,
}

impl Realtime {
    pub fn new(told: WorkspaceRealtimeStatistics) -> Realtime {
        let status = told.tasks_by_status.unwrap_or_default();
        let longest = told.longest_task_waiting_since.map(|since| Longest {
            age: told.longest_task_waiting_age.map_or(Duration::ZERO, |age| Duration::from_millis(millis(age))),
            since_ms: moment(since),
        });
        let priorities = told.tasks_by_priority.iter().rev();
        let activities = told.activity_statistics.iter().map(|activity| {
            let name = if activity.friendly_name.is_empty() { &activity.sid } else { &activity.friendly_name };
            Row { name: shown(name), count: whole(activity.workers) }
        });
        Realtime {
            as_of_ms: told.as_of.map_or(0, moment),
            revision: told.revision,
            total_tasks: whole(told.total_tasks),
            by_status: [status.pending, status.reserved, status.assigned, status.wrapping].map(whole),
            completed: whole(status.completed),
            canceled: whole(status.canceled),
            priorities: priorities
                .map(|(priority, tasks)| Row { name: format!("Priority {priority}"), count: whole(*tasks) })
                .collect(),
            total_workers: whole(told.total_workers),
            activities: activities.collect(),
            longest,
            whole: Box::new(told),
        }
    }

    /// Neither one that is active nor one that has just ended.
    pub fn has_no_task(&self) -> bool {
        (self.total_tasks, self.completed, self.canceled) == (0, 0, 0)
    }
}

/// One line of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Level,
    Created,
    Accepted,
    Canceled,
    Acceptance,
}

impl Figure {
    pub const ALL: [Figure; 5] =
        [Figure::Level, Figure::Created, Figure::Accepted, Figure::Canceled, Figure::Acceptance];
}

/// What happened in a window, or in a bucket of its trend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    created: u64,
    accepted: u64,
    canceled: u64,
    average_ms: u64,
    /// Accepted within the seconds of good service.
    within: u64,
}

impl Happened {
    /// `within`: the one threshold that was asked for.
    pub fn new(told: &WorkspaceCumulativeStatistics, within: u32) -> Happened {
        let split = i32::try_from(within).ok().and_then(|within| told.split_by_wait_time.get(&within));
        Happened {
            created: whole(told.tasks_created),
            accepted: whole(told.reservations_accepted),
            canceled: whole(told.tasks_canceled),
            average_ms: told.avg_task_acceptance_time.map_or(0, millis),
            within: split.and_then(|split| split.below).map_or(0, |below| whole(below.reservations_accepted)),
        }
    }

    /// What happened in both of two intervals that meet.
    fn and(&self, other: &Happened) -> Happened {
        let accepted = self.accepted + other.accepted;
        let waited = |of: &Happened| u128::from(of.average_ms) * u128::from(of.accepted);
        let average_ms = (waited(self) + waited(other)).checked_div(accepted.into()).unwrap_or(0);
        Happened {
            created: self.created + other.created,
            accepted,
            canceled: self.canceled + other.canceled,
            average_ms: u64::try_from(average_ms).unwrap_or(u64::MAX),
            within: self.within + other.within,
        }
    }

    /// As a number that grows with what it means: a level in hundredths of a percent, an acceptance in milliseconds.
    /// `None` where there was nothing to divide by.
    pub fn value(&self, figure: Figure) -> Option<u64> {
        let any = (self.accepted > 0).then_some(self.accepted);
        match figure {
            Figure::Level => any.map(|all| self.within.saturating_mul(10_000) / all),
            Figure::Created => Some(self.created),
            Figure::Accepted => Some(self.accepted),
            Figure::Canceled => Some(self.canceled),
            Figure::Acceptance => any.map(|_| self.average_ms),
        }
    }
}

/// A trend in as many points as there are columns: each bucket as often as there is room, or as many as it takes in one
/// point. Of buckets that are too few for a whole point the oldest are left out.
pub fn fitting(trend: &[Happened], columns: usize) -> Vec<Happened> {
    if columns == 0 || trend.is_empty() {
        return Vec::new();
    }
    let (times, together) = (columns / trend.len(), trend.len().div_ceil(columns));
    if times > 0 {
        return trend.iter().flat_map(|bucket| std::iter::repeat_n(bucket.clone(), times)).collect();
    }
    let whole = &trend[trend.len() % together..];
    whole.chunks(together).map(|some| some.iter().fold(Happened::default(), |sum, next| sum.and(next))).collect()
}

/// A name for a terminal. What steers one is marked, what has no width of its own left out, since terminals differ there.
pub fn shown(name: &str) -> String {
    let has_width = |letter: &char| !matches!(letter, '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{ad}');
    let steers = |letter: char| matches!(letter, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let letters = name.chars().filter(has_width).take(limits::TERMINAL_NAME_LETTERS);
    printable(&letters.map(|letter| if steers(letter) { '\u{fffd}' } else { letter }).collect::<String>())
}

/// Counts are never negative.
fn whole(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn millis(span: prost_types::Duration) -> u64 {
    whole(span.seconds).saturating_mul(1000).saturating_add(whole(i64::from(span.nanos / 1_000_000)))
}

pub fn moment(at: prost_types::Timestamp) -> i64 {
    at.seconds.saturating_mul(1000).saturating_add(i64::from(at.nanos / 1_000_000))
}

/// `0:07`, `1:02:05`, from a day on `3 d 02 h`.
pub fn length(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{rest:02}"),
        1..24 => format!("{hours}:{minutes:02}:{rest:02}"),
        _ => format!("{} d {:02} h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::proto::v1::{WaitTimeCounts, WaitTimeSplit};

    #[test]
    fn names_can_steer_no_terminal() {
        assert_eq!(shown("a\u{1b}[2J\nb\u{9b}c\u{202e}d"), "a\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(shown("x\u{200b}\u{fe0f}y"), "xy");
        assert_eq!(shown(&"é".repeat(5_000)).chars().count(), limits::TERMINAL_NAME_LETTERS);
        assert_eq!(shown("Pause – 休憩"), "Pause – 休憩");
    }

    #[test]
    fn lengths_are_those_of_the_wallboard() {
        for (seconds, text) in
            [(0, "0:00"), (7, "0:07"), (3725, "1:02:05"), (86_399, "23:59:59"), (266_400, "3 d 02 h")]
        {
            assert_eq!(length(seconds), text);
        }
    }

    #[test]
    fn a_trend_fits_its_columns() {
        let bucket = |created, accepted, average_ms| Happened { created, accepted, average_ms, ..Default::default() };
        let trend: Vec<_> = (0..15).map(|at| bucket(at, 1, at * 10)).collect();
        let created = |columns| fitting(&trend, columns).iter().map(|point| point.created).collect::<Vec<_>>();
        assert_eq!(created(15), (0..15).collect::<Vec<_>>());
        assert_eq!(created(9), [3, 7, 11, 15, 19, 23, 27], "pairs, the oldest alone");
        assert_eq!((created(31).len(), &created(31)[..4]), (30, &[0, 0, 1, 1][..]));
        assert_eq!((created(0).len(), fitting(&[], 5).len()), (0, 0));
        assert_eq!(bucket(1, 3, 10).and(&bucket(1, 1, 50)), bucket(2, 4, 20), "an average of all that were accepted");
        assert_eq!(bucket(1, 0, 0).and(&bucket(1, 0, 0)), bucket(2, 0, 0));
    }

    #[test]
    fn a_level_needs_something_that_was_accepted() {
        let below = WaitTimeCounts { reservations_accepted: 7, tasks_canceled: 0 };
        let split = WaitTimeSplit { below: Some(below), above: None };
        let told = WorkspaceCumulativeStatistics {
            reservations_accepted: 8,
            avg_task_acceptance_time: Some(prost_types::Duration { seconds: 4, nanos: 250_000_000 }),
            split_by_wait_time: BTreeMap::from([(20, split)]),
            ..Default::default()
        };
        let happened = Happened::new(&told, 20);
        let values = Figure::ALL.map(|figure| happened.value(figure));
        assert_eq!(values, [Some(8_750), Some(0), Some(8), Some(0), Some(4_250)]);
        assert_eq!(Happened::default().value(Figure::Level), None);
        assert_eq!(Happened::default().value(Figure::Acceptance), None);
    }
}
