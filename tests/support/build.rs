//! Events in short form: `event(TaskCreated, at).task(1).pending().channel("voice")`.

use std::sync::atomic::{AtomicU32, Ordering};

use tasktally::event::{
    Activity, ActivitySid, ChannelSid, Event, EventKind, Millis, Reservation, Sid, Task, TaskSid, TaskStatus, Worker,
    WorkerSid, WorkspaceSid,
};

/// The n-th id of its kind. Ids order as their numbers do.
pub fn sid<const A: u8, const B: u8>(n: u32) -> Sid<A, B> {
    Sid::from_bytes(u128::from(n).to_be_bytes())
}

pub fn workspace(n: u32) -> WorkspaceSid {
    sid(n)
}

pub fn task(n: u32) -> TaskSid {
    sid(n)
}

pub fn worker(n: u32) -> WorkerSid {
    sid(n)
}

pub fn activity(n: u32) -> ActivitySid {
    sid(n)
}

pub fn tc(n: u32) -> ChannelSid {
    sid(n)
}

/// The workspace and account of events that do not say another.
pub const HOME: u32 = 1;

static NEXT_SID: AtomicU32 = AtomicU32::new(1_000_000);

/// An event with a sid of its own, in workspace and account [`HOME`], with every group that its kind requires: of
/// object 1, and a task that is pending in channel "default" since the event.
pub fn event(kind: EventKind, at: i64) -> Event {
    let carried = kind.carried();
    let task = Task {
        sid: task(1),
        date_created: Some(Millis(at)),
        status: Some(TaskStatus::Pending),
        priority: 0,
        channel_name: Some("default".into()),
        channel_sid: None,
        version: 0,
        queue_sid: None,
        queue_name: None,
        queue_entered: None,
        workflow_sid: None,
        workflow_name: None,
    };
    let is_worker_event = matches!(
        kind,
        EventKind::WorkerCreated
            | EventKind::WorkerDeleted
            | EventKind::WorkerActivityUpdate
            | EventKind::WorkerAttributesUpdate
            | EventKind::WorkerCapacityUpdate
            | EventKind::WorkerChannelAvailabilityUpdate
    );
    let states_activity = matches!(kind, EventKind::WorkerCreated | EventKind::WorkerActivityUpdate);
    let worker = Worker {
        sid: worker(1),
        name: None,
        activity_sid: states_activity.then(|| activity(1)),
        activity_name: None,
        version: 0,
    };
    Event {
        sid: sid(NEXT_SID.fetch_add(1, Ordering::Relaxed)),
        kind,
        at: Millis(at),
        account: sid(HOME),
        workspace: sid(HOME),
        task: carried.task.then_some(task),
        reservation: carried.reservation.then(|| Reservation { sid: sid(1), version: 0 }),
        worker: (carried.worker && is_worker_event).then_some(worker),
        activity: carried.activity.then(|| Activity {
            sid: activity(1),
            name: (kind != EventKind::ActivityDeleted).then(|| "activity 1".into()),
            available: None,
        }),
    }
}

/// What an event says, one thing after the other.
pub trait Saying: Sized {
    fn sid(self, n: u32) -> Self;
    fn workspace(self, n: u32) -> Self;
    fn account(self, n: u32) -> Self;
    fn task(self, n: u32) -> Self;
    fn status(self, status: TaskStatus) -> Self;
    fn created(self, at: i64) -> Self;
    fn priority(self, priority: i32) -> Self;
    fn channel(self, name: &str) -> Self;
    fn channel_sid(self, n: u32) -> Self;
    fn task_version(self, version: i64) -> Self;
    /// Only the task's sid, as deletions may have it.
    fn bare(self) -> Self;
    fn worker(self, n: u32) -> Self;
    fn worker_version(self, version: i64) -> Self;
    /// The activity that the worker is in.
    fn doing(self, n: u32) -> Self;
    fn doing_named(self, n: u32, name: &str) -> Self;
    fn activity(self, n: u32) -> Self;
    fn named(self, name: &str) -> Self;
    fn nameless(self) -> Self;

    fn pending(self) -> Self {
        self.status(TaskStatus::Pending)
    }

    fn reserved(self) -> Self {
        self.status(TaskStatus::Reserved)
    }

    fn assigned(self) -> Self {
        self.status(TaskStatus::Assigned)
    }

    fn wrapping(self) -> Self {
        self.status(TaskStatus::Wrapping)
    }

    fn completed(self) -> Self {
        self.status(TaskStatus::Completed)
    }

    fn canceled(self) -> Self {
        self.status(TaskStatus::Canceled)
    }
}

fn task_of(event: &mut Event) -> &mut Task {
    let kind = event.kind;
    event.task.as_mut().unwrap_or_else(|| panic!("{kind:?} carries no task"))
}

fn worker_of(event: &mut Event) -> &mut Worker {
    assert!(event.kind.carried().worker, "{:?} carries no worker", event.kind);
    let new = Worker { sid: worker(1), name: None, activity_sid: None, activity_name: None, version: 0 };
    event.worker.get_or_insert(new)
}

fn activity_of(event: &mut Event) -> &mut Activity {
    let kind = event.kind;
    event.activity.as_mut().unwrap_or_else(|| panic!("{kind:?} carries no activity"))
}

impl Saying for Event {
    fn sid(mut self, n: u32) -> Event {
        self.sid = sid(n);
        self
    }

    fn workspace(mut self, n: u32) -> Event {
        self.workspace = sid(n);
        self
    }

    fn account(mut self, n: u32) -> Event {
        self.account = sid(n);
        self
    }

    fn task(mut self, n: u32) -> Event {
        task_of(&mut self).sid = task(n);
        self
    }

    fn status(mut self, status: TaskStatus) -> Event {
        task_of(&mut self).status = Some(status);
        self
    }

    fn created(mut self, at: i64) -> Event {
        task_of(&mut self).date_created = Some(Millis(at));
        self
    }

    fn priority(mut self, priority: i32) -> Event {
        task_of(&mut self).priority = priority;
        self
    }

    fn channel(mut self, name: &str) -> Event {
        task_of(&mut self).channel_name = Some(name.into());
        self
    }

    fn channel_sid(mut self, n: u32) -> Event {
        task_of(&mut self).channel_sid = Some(tc(n));
        self
    }

    fn task_version(mut self, version: i64) -> Event {
        task_of(&mut self).version = version;
        self
    }

    fn bare(mut self) -> Event {
        assert!(self.kind.deletes_task(), "{:?} must say what its task is like", self.kind);
        let task = task_of(&mut self);
        (task.date_created, task.status, task.channel_name) = (None, None, None);
        self
    }

    fn worker(mut self, n: u32) -> Event {
        worker_of(&mut self).sid = worker(n);
        self
    }

    fn worker_version(mut self, version: i64) -> Event {
        worker_of(&mut self).version = version;
        self
    }

    fn doing(mut self, n: u32) -> Event {
        worker_of(&mut self).activity_sid = Some(activity(n));
        self
    }

    fn doing_named(mut self, n: u32, name: &str) -> Event {
        worker_of(&mut self).activity_name = Some(name.into());
        self.doing(n)
    }

    fn activity(mut self, n: u32) -> Event {
        activity_of(&mut self).sid = activity(n);
        self
    }

    fn named(mut self, name: &str) -> Event {
        activity_of(&mut self).name = Some(name.into());
        self
    }

    fn nameless(mut self) -> Event {
        assert_eq!(self.kind, EventKind::ActivityDeleted, "only a deletion need not name its activity");
        activity_of(&mut self).name = None;
        self
    }
}
