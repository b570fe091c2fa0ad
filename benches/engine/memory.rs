//! What it takes to hold: resident memory of the process, all that the pipeline keeps beside the engine included.

use std::fs;
use std::time::Duration;

use tasktally::event::{
    AccountSid, ChannelSid, DAY_MS, Event, EventKind, EventSid, MINUTE_MS, Millis, Task, TaskSid, TaskStatus,
    WorkspaceSid,
};
use tasktally::pipeline::Caller;

use super::row;
use super::supply::{NOW, Recording, batches};
use super::work::{Line, MONTH_MS};

fn resident_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0)
}

/// Of a process that has been idle for as long as its allocator keeps what it was given back, which is a second.
fn resident_bytes_at_rest() -> f64 {
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        // It looks for what to give back as memory is freed.
        drop(vec![1_u8; 4 << 20]);
    }
    resident_bytes()
}

/// A pipeline that has taken some events of a workspace of their own, so that its code and queues are there, and the
/// memory of the process then.
fn base() -> (Line, f64) {
    let mut line = Line::ephemeral();
    let warm = (0..20_000).map(|n| of_task([0xff; 16], 1_000_000_000 + n));
    for batch in batches(warm) {
        line.take(batch);
    }
    (line, resident_bytes())
}

fn take(recording: &Recording) -> (Line, f64) {
    let (mut line, base) = base();
    let mut accepted = 0;
    for batch in recording.forward() {
        accepted += line.take(batch);
    }
    assert_eq!(accepted, recording.events as u64, "events accepted, against those there are");
    (line, base)
}

fn an_event(what: &str, recording: &Recording) {
    let (line, base) = take(recording);
    let each = (resident_bytes() - base) / recording.events as f64;
    row(&format!("{} events, {what}: resident, a retained event", recording.events), &format!("{each:.1} B"));
    row("  over a base of", &format!("{:.1} MB", base / 1e6));
    drop(line);
}

pub fn of_one_workspace(recording: &Recording) {
    an_event("one workspace", recording);
}

pub fn of_small_workspaces(recording: &Recording) {
    an_event("a hundred workspaces alike", recording);
}

pub fn of_mixed_workspaces(recording: &Recording) {
    an_event("1,000 workspaces of mixed size", recording);
}

/// As an id: the same number never gives another.
fn id(n: u64) -> [u8; 16] {
    let high = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let low = (high ^ (high >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_le_bytes());
    bytes[8..].copy_from_slice(&low.to_le_bytes());
    bytes
}

/// The creation of a task of its own, some time in the last 20 days.
fn of_task(workspace: [u8; 16], n: u64) -> Event {
    let at = Millis(NOW - 20 * DAY_MS + (n % 1_000_000) as i64 * 1_728);
    let channel = n % 3;
    let task = Task {
        sid: TaskSid::from_bytes(id(3 * n)),
        date_created: Some(at),
        status: Some(TaskStatus::Pending),
        priority: (n % 10) as i32,
        channel_name: Some(["voice", "chat", "email"][channel as usize].into()),
        channel_sid: Some(ChannelSid::from_bytes(id(u64::MAX - channel))),
        version: 1,
        queue_sid: None,
        queue_name: None,
        queue_entered: None,
        workflow_sid: None,
        workflow_name: None,
    };
    Event {
        sid: EventSid::from_bytes(id(3 * n + 1)),
        kind: EventKind::TaskCreated,
        at,
        account: AccountSid::from_bytes([1; 16]),
        workspace: WorkspaceSid::from_bytes(workspace),
        task: Some(task),
        reservation: None,
        worker: None,
        activity: None,
    }
}

pub fn of_active_tasks(_: &Recording) {
    const TASKS: u64 = 1_000_000;
    let (mut line, base) = base();
    let mut accepted = 0;
    for batch in batches((0..TASKS).map(|n| of_task([2; 16], n))) {
        accepted += line.take(batch);
    }
    assert_eq!(accepted, TASKS, "events accepted, against those there are");
    let each = (resident_bytes() - base) / TASKS as f64;
    row(&format!("{TASKS} active tasks of one event: resident, a task with its event"), &format!("{each:.0} B"));
    drop(line);
}

pub fn of_named_workspaces(_: &Recording) {
    const WORKSPACES: u64 = 20_000;
    let (mut line, base) = base();
    let events =
        (0..WORKSPACES).map(|n| Event { kind: EventKind::WorkspaceCreated, task: None, ..of_task(id(5 * n + 7), n) });
    for batch in batches(events) {
        line.take(batch);
    }
    let each = (resident_bytes() - base) / WORKSPACES as f64;
    row("a workspace that one event has named: resident", &format!("{each:.0} B"));
    drop(line);
}

/// Workspaces with five workers, before and after the retention has passed over everything that happened there.
pub fn of_idle_workspaces(recording: &Recording) {
    let (mut line, base) = take(recording);
    let workspaces: std::collections::BTreeSet<_> =
        recording.forward().flatten().map(|event| event.workspace).collect();
    let each = |bytes: f64| format!("{:.0} B", (bytes - base) / workspaces.len() as f64);
    let events = recording.events / workspaces.len();
    row(
        &format!("a workspace of 5 workers, just opened with {events} events: resident"),
        &each(resident_bytes_at_rest()),
    );
    line.clock.set(NOW + 3 * MONTH_MS + MINUTE_MS);
    for workspace in &workspaces {
        let pipeline = line.pipeline.clone();
        let (caller, workspace) = (Caller::everything(), *workspace);
        let asked = line.runtime.block_on(async move {
            let (answered, asked) = tokio::sync::oneshot::channel();
            let question = async move { answered.send(pipeline.channels(&caller, workspace, None, 1).await.is_ok()) };
            let local = tokio::spawn(question);
            tokio::task::yield_now().await;
            (asked, local)
        });
        line.rest();
        assert!(line.runtime.block_on(asked.0).expect("an answer"), "the workspace is known");
    }
    row("  after three months without an event: resident", &each(resident_bytes_at_rest()));
    drop(line);
}
