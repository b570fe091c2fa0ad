//! Events by number: each is a pure function of its number, so that a test remembers numbers and not events, and knows
//! the figures that any set of them must give.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;
use tasktally::api::proto::v1::{self, EventType, TaskAssignmentStatus as Status};

pub const ACCOUNT: &str = "AC000000000000000000000000000000aa";

/// Milliseconds since 1970, by the clock that the server under test reads too.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

pub fn at(ms: i64) -> Timestamp {
    Timestamp { seconds: ms.div_euclid(1000), nanos: (ms.rem_euclid(1000) * 1_000_000) as i32 }
}

pub fn ms(time: &Timestamp) -> i64 {
    time.seconds * 1000 + i64::from(time.nanos) / 1_000_000
}

pub fn length(duration: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }
}

pub fn length_ms(duration: &prost_types::Duration) -> i64 {
    duration.seconds * 1000 + i64::from(duration.nanos) / 1_000_000
}

/// `WS`, `EV`, … with this number.
pub fn sid(kind: &str, number: u64) -> String {
    format!("{kind}{number:032x}")
}

/// An event of no task, no worker, nothing.
pub fn bare(number: u64, kind: EventType, workspace: &str, at_ms: i64) -> v1::Event {
    v1::Event {
        sid: sid("EV", number),
        r#type: kind.into(),
        timestamp: Some(at(at_ms)),
        account_sid: ACCOUNT.to_owned(),
        workspace_sid: workspace.to_owned(),
        ..v1::Event::default()
    }
}

/// A task as it is just after an event.
pub fn task(number: u64, status: Status, created_ms: i64, channel: &str) -> v1::Task {
    v1::Task {
        sid: sid("WT", number),
        date_created: Some(at(created_ms)),
        assignment_status: status.into(),
        task_channel_unique_name: channel.to_owned(),
        ..v1::Task::default()
    }
}

/// A task.created of a task of the same number, waiting since then.
pub fn created(number: u64, workspace: &str, at_ms: i64, channel: &str) -> v1::Event {
    let task = Some(task(number, Status::Pending, at_ms, channel));
    v1::Event { task, ..bare(number, EventType::TaskCreated, workspace, at_ms) }
}

/// A worker.created of a worker of the same number, in an activity.
pub fn worker(number: u64, workspace: &str, at_ms: i64, activity: u64) -> v1::Event {
    let worker = v1::Worker {
        sid: sid("WK", number),
        friendly_name: format!("worker {number}"),
        activity_sid: sid("WA", activity),
        activity_name: format!("activity {activity}"),
        version: 0,
    };
    v1::Event { worker: Some(worker), ..bare(number, EventType::WorkerCreated, workspace, at_ms) }
}

/// A made-up contact centre: event `n` is step `n % 4` of the life of task `n / 4`.
#[derive(Clone, Copy)]
pub struct Centre {
    /// All events lie in the ten minutes before this.
    pub end_ms: i64,
    pub workspaces: u64,
}

/// Steps in the life of a task.
const STEPS: u64 = 4;
const SPAN_MS: u64 = 560_000;

/// What a set of events must give, for one workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub tasks_created: i64,
    pub tasks_completed: i64,
    pub tasks_canceled: i64,
    pub reservations_created: i64,
    pub reservations_accepted: i64,
    pub reservations_rejected: i64,
    pub accepted_wait_ms: i64,
    pub canceled_wait_ms: i64,
    pub longest_accepted_wait_ms: i64,
    pub pending: i64,
    pub reserved: i64,
    pub assigned: i64,
}

fn mix(number: u64) -> u64 {
    // The finaliser of SplitMix64: every bit of the number moves every bit of the result.
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Centre {
    pub fn workspace(&self, index: u64) -> String {
        sid("WS", 0x0cea_0000 + index)
    }

    /// Which workspace event `number` is about.
    pub fn workspace_of(&self, number: u64) -> u64 {
        mix(number / STEPS + 1) % self.workspaces
    }

    fn created_ms(&self, task: u64) -> i64 {
        self.end_ms - 600_000 + (mix(task + 0x7a5c) % SPAN_MS) as i64
    }

    fn at_ms(&self, number: u64) -> i64 {
        let (task, step) = (number / STEPS, number % STEPS);
        // Each step up to ten seconds after the one before, and at least a millisecond.
        let steps = (1..=step).map(|step| 1 + (mix(task * STEPS + step) % 9_999) as i64);
        self.created_ms(task) + steps.sum::<i64>()
    }

    fn kind(&self, number: u64) -> (EventType, Status) {
        let (task, step) = (number / STEPS, number % STEPS);
        let fate = mix(task + 0xfa7e);
        let accepts = !fate.is_multiple_of(3);
        match step {
            0 => (EventType::TaskCreated, Status::Pending),
            1 => (EventType::ReservationCreated, Status::Reserved),
            2 if accepts => (EventType::ReservationAccepted, Status::Assigned),
            2 => (EventType::ReservationRejected, Status::Pending),
            _ => match (fate / 3 % 4, accepts) {
                (0 | 1, true) => (EventType::TaskCompleted, Status::Completed),
                (0 | 1, false) | (2, _) => (EventType::TaskCanceled, Status::Canceled),
                (_, true) => (EventType::TaskUpdated, Status::Assigned),
                (_, false) => (EventType::TaskUpdated, Status::Pending),
            },
        }
    }

    pub fn event(&self, number: u64) -> v1::Event {
        let task_number = number / STEPS;
        let (kind, status) = self.kind(number);
        let workspace = self.workspace(self.workspace_of(number));
        let reserves = matches!(
            kind,
            EventType::ReservationCreated | EventType::ReservationAccepted | EventType::ReservationRejected
        );
        let channel = ["voice", "chat", "sms"][(mix(task_number) % 3) as usize];
        let task = v1::Task {
            priority: (mix(task_number) % 5) as i32,
            ..task(task_number, status, self.created_ms(task_number), channel)
        };
        v1::Event {
            task: Some(task),
            reservation: reserves.then(|| v1::Reservation { sid: sid("WR", task_number), version: 0 }),
            ..bare(number, kind, &workspace, self.at_ms(number))
        }
    }

    /// What the events of these numbers give, by workspace. The numbers ascend.
    pub fn figures(&self, numbers: impl Iterator<Item = u64>) -> Vec<Figures> {
        let mut all = vec![Figures::default(); self.workspaces as usize];
        let mut numbers = numbers.peekable();
        while let Some(first) = numbers.next() {
            let task = first / STEPS;
            let figures = &mut all[self.workspace_of(first) as usize];
            self.count(first, figures);
            let (mut latest, mut ended) = (first, self.ends(first));
            while let Some(number) = numbers.next_if(|number| number / STEPS == task) {
                assert!(number > latest, "{number} after {latest}");
                self.count(number, figures);
                ended |= self.ends(number);
                latest = number;
            }
            match self.kind(latest).1 {
                _ if ended => {}
                Status::Pending => figures.pending += 1,
                Status::Reserved => figures.reserved += 1,
                Status::Assigned => figures.assigned += 1,
                other => panic!("{other:?} does not end a task"),
            }
        }
        all
    }

    fn ends(&self, number: u64) -> bool {
        matches!(self.kind(number).1, Status::Completed | Status::Canceled)
    }

    fn count(&self, number: u64, figures: &mut Figures) {
        let wait_ms = self.at_ms(number) - self.created_ms(number / STEPS);
        match self.kind(number).0 {
            EventType::TaskCreated => figures.tasks_created += 1,
            EventType::TaskCompleted => figures.tasks_completed += 1,
            EventType::TaskCanceled => {
                figures.tasks_canceled += 1;
                figures.canceled_wait_ms += wait_ms;
            }
            EventType::ReservationCreated => figures.reservations_created += 1,
            EventType::ReservationAccepted => {
                figures.reservations_accepted += 1;
                figures.accepted_wait_ms += wait_ms;
                figures.longest_accepted_wait_ms = figures.longest_accepted_wait_ms.max(wait_ms);
            }
            EventType::ReservationRejected => figures.reservations_rejected += 1,
            _ => {}
        }
    }
}

impl Figures {
    /// The same figures, as a server tells them.
    pub fn told(statistics: &v1::WorkspaceStatistics) -> Figures {
        let cumulative = statistics.cumulative.as_ref().unwrap();
        let status = statistics.realtime.as_ref().unwrap().tasks_by_status.as_ref().unwrap();
        let accepted = cumulative.wait_duration_until_accepted.as_ref().unwrap();
        let canceled = cumulative.wait_duration_until_canceled.as_ref().unwrap();
        assert_eq!(accepted.count, cumulative.reservations_accepted);
        assert_eq!(canceled.count, cumulative.tasks_canceled);
        Figures {
            tasks_created: cumulative.tasks_created,
            tasks_completed: cumulative.tasks_completed,
            tasks_canceled: cumulative.tasks_canceled,
            reservations_created: cumulative.reservations_created,
            reservations_accepted: cumulative.reservations_accepted,
            reservations_rejected: cumulative.reservations_rejected,
            accepted_wait_ms: length_ms(accepted.total.as_ref().unwrap()),
            canceled_wait_ms: length_ms(canceled.total.as_ref().unwrap()),
            longest_accepted_wait_ms: length_ms(accepted.max.as_ref().unwrap()),
            pending: status.pending,
            reserved: status.reserved,
            assigned: status.assigned,
        }
    }

    /// The figures that only grow with more events.
    pub fn growing(&self) -> [i64; 9] {
        let Figures {
            tasks_created,
            tasks_completed,
            tasks_canceled,
            reservations_created,
            reservations_accepted,
            reservations_rejected,
            accepted_wait_ms,
            canceled_wait_ms,
            longest_accepted_wait_ms,
            pending: _,
            reserved: _,
            assigned: _,
        } = *self;
        [
            tasks_created,
            tasks_completed,
            tasks_canceled,
            reservations_created,
            reservations_accepted,
            reservations_rejected,
            accepted_wait_ms,
            canceled_wait_ms,
            longest_accepted_wait_ms,
        ]
    }
}
