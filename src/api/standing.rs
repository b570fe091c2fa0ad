//! GetStatus: how the server is, for who runs it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tonic::{Request, Status};

use super::decode;
use super::encode::timestamp;
use super::proto::v1;
use super::status::ApiError;
use super::{Api, caller, permit};
use crate::engine::SizeRow;
use crate::event::Millis;
use crate::letters::Totals;
use crate::pipeline::{AskError, Clock as _, Reading, Role, Scope, SystemClock};

/// What the process is and may, told once.
#[derive(Clone)]
pub struct Process {
    pub started: Millis,
    pub retention: Duration,
    pub bounds: Bounds,
    /// Looks at what changes outside the rooms that calls reach; may wait for a disk.
    pub look: Arc<dyn Fn() -> Look + Send + Sync>,
}

/// The bounds whose use is told, but for those that are the api's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    pub connections: u64,
    pub workspaces: u64,
    /// Of one workspace.
    pub tasks: u64,
    pub workers: u64,
    /// Over all partitions.
    pub queued_events: u64,
    pub letters: u64,
    pub letter_bytes: u64,
}

/// What was seen outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    pub connections: u64,
    /// `None` where nothing is kept on disk.
    pub disk: Option<Disk>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Disk {
    pub journal_bytes: u64,
    pub checkpoint_bytes: u64,
    pub checkpoint_age: Option<Duration>,
    pub free_bytes: Option<u64>,
}

pub(super) async fn status(api: &Api, request: Request<v1::GetStatusRequest>) -> Result<v1::ServerStatus, Status> {
    let caller = caller(&request);
    let most = decode::status(request.into_inner()).map_err(ApiError::BadFields)?;
    permit(&caller, Role::Admin)?;
    if caller.scope != Scope::All {
        return Err(ApiError::NotOfAll.into());
    }
    let largest = api.pipeline.largest(most).await.map_err(ApiError::List)?;
    let reading = api.pipeline.reading().ok_or(ApiError::List(AskError::Starting))?;
    // Letters that cannot be counted at the moment are no reason to say nothing.
    let letters = api.letters.totals(Scope::All).await.ok();
    let look = api.process.look.clone();
    let look = spawn_blocking(move || look()).await.unwrap_or_default();
    Ok(Told { api, reading, largest, letters, look }.message(most))
}

/// Everything that an answer is made of.
struct Told<'a> {
    api: &'a Api,
    reading: Reading,
    largest: Vec<SizeRow>,
    letters: Option<Totals>,
    look: Look,
}

impl Told<'_> {
    fn message(&self, most: usize) -> v1::ServerStatus {
        let (process, reading, held) = (&self.api.process, &self.reading, &self.reading.held);
        v1::ServerStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: Some(timestamp(process.started)),
            as_of: Some(timestamp(SystemClock.now())),
            revision: number(reading.revision),
            retention: span(process.retention),
            journal_writable: reading.is_writable,
            newest_event_at: reading.newest.map(timestamp),
            events_accepted: number(reading.accepted),
            events_duplicate: number(reading.duplicates),
            events_late: number(reading.late),
            retained_events: number(held.retained_events),
            retained_bytes: number(held.retained_bytes),
            workspaces: number(held.workspaces),
            active_tasks: number(held.active_tasks),
            workers: number(held.workers),
            watchers: number(self.api.seats.watchers() as u64),
            disk: self.look.disk.map(|disk| v1::DiskStatus {
                journal_bytes: number(disk.journal_bytes),
                checkpoint_bytes: number(disk.checkpoint_bytes),
                checkpoint_age: disk.checkpoint_age.and_then(span),
                checkpoint_revision: number(reading.checkpoint_position),
                free_bytes: disk.free_bytes.map(number),
            }),
            limits: self.limits(),
            largest_workspaces: self.largest.iter().take(most).map(size).collect(),
        }
    }

    /// The fullest first.
    fn limits(&self) -> Vec<v1::LimitStatus> {
        let (own, bounds) = (&self.api.limits, &self.api.process.bounds);
        let taken = own.max_ingest_bytes.saturating_sub(self.api.intake.free());
        let mut all = vec![
            limit("max_connections", self.look.connections, bounds.connections),
            limit("max_watchers", self.api.seats.watchers() as u64, own.max_watchers as u64),
            limit("max_ingest_bytes", taken as u64, own.max_ingest_bytes as u64),
            limit("max_queued_events", self.reading.queued_events, bounds.queued_events),
            limit("max_workspaces", self.reading.held.workspaces, bounds.workspaces),
        ];
        if let Some(Totals { letters, bytes, .. }) = self.letters {
            all.push(limit("max_dead_letters", letters, bounds.letters));
            all.push(limit("max_dead_letter_bytes", bytes, bounds.letter_bytes));
        }
        let mut of_one = |name, used: fn(&SizeRow) -> u64, most| {
            if let Some(row) = self.largest.iter().max_by_key(|row| used(row)) {
                let workspace_sid = row.workspace.to_string();
                all.push(v1::LimitStatus { workspace_sid, ..limit(name, used(row), most) });
            }
        };
        of_one("max_tasks_per_workspace", |row| row.active_tasks, bounds.tasks);
        of_one("max_workers_per_workspace", |row| row.workers, bounds.workers);
        all.sort_by_key(|limit| Reverse(limit.used.saturating_mul(1_000_000) / limit.limit_value.max(1)));
        all
    }
}

fn limit(name: &str, used: u64, most: u64) -> v1::LimitStatus {
    let (limit, workspace_sid) = (name.to_owned(), String::new());
    v1::LimitStatus { limit, used: number(used), limit_value: number(most), workspace_sid }
}

fn size(row: &SizeRow) -> v1::WorkspaceSize {
    v1::WorkspaceSize {
        workspace_sid: row.workspace.to_string(),
        account_sid: row.account.to_string(),
        retained_events: number(row.retained_events),
        active_tasks: number(row.active_tasks),
        workers: number(row.workers),
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn span(span: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(span).ok()
}
