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
use crate::event::Millis;
use crate::letters::Totals;
use crate::pipeline::{
    ACTIVITIES, AskError, CHANNELS, Clock as _, GrowthLimits, Holdings, PRIORITIES, Part, Reading, Role, Row, Scope,
    SystemClock, TASKS, WORKERS,
};

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
    pub growth: GrowthLimits,
    /// In one partition.
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
    let holdings = api.pipeline.holdings(most).await.map_err(ApiError::List)?;
    let reading = api.pipeline.reading().ok_or(ApiError::List(AskError::Starting))?;
    // Letters that cannot be counted at the moment are no reason to say nothing.
    let letters = api.letters.totals(Scope::All).await.ok();
    let look = api.process.look.clone();
    let look = spawn_blocking(move || look()).await.unwrap_or_default();
    Ok(Told { api, reading, holdings, letters, look }.message(most))
}

/// Everything that an answer is made of.
struct Told<'a> {
    api: &'a Api,
    reading: Reading,
    holdings: Holdings,
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
            largest_workspaces: self.holdings.rows.iter().take(most).map(size).collect(),
        }
    }

    /// The fullest first.
    fn limits(&self) -> Vec<v1::LimitStatus> {
        let (own, bounds, seats) = (&self.api.limits, &self.api.process.bounds, &self.api.seats);
        let taken = own.max_ingest_bytes.saturating_sub(self.api.intake.free());
        let mut all = vec![
            limit("max_connections", self.look.connections, bounds.connections),
            limit("max_watchers", seats.watchers() as u64, own.max_watchers as u64),
            limit("max_ingest_bytes", taken as u64, own.max_ingest_bytes as u64),
            limit("max_queued_events", self.reading.most_queued_events, bounds.queued_events),
            limit("max_workspaces", self.reading.held.workspaces, bounds.growth.workspaces as u64),
        ];
        if let Some((account, watchers)) = seats.most_of_account() {
            let limit = limit("max_watchers_per_account", watchers as u64, own.max_watchers_per_account as u64);
            all.push(v1::LimitStatus { account_sid: account.to_string(), ..limit });
        }
        if let Some(Totals { letters, bytes, .. }) = self.letters {
            all.push(limit("max_dead_letters", letters, bounds.letters));
            all.push(limit("max_dead_letter_bytes", bytes, bounds.letter_bytes));
        }
        all.extend(self.of_workspaces());
        all.extend(self.of_accounts());
        all.sort_by_key(|limit| Reverse(limit.used.saturating_mul(1_000_000) / limit.limit_value.max(1)));
        all
    }

    /// The bounds on one workspace, each with the one that is nearest to it.
    fn of_workspaces(&self) -> impl Iterator<Item = v1::LimitStatus> {
        let growth = &self.api.process.bounds.growth;
        let bounds: [(&str, Part, usize); 5] = [
            ("max_channels_per_workspace", CHANNELS, growth.channels),
            ("max_workers_per_workspace", WORKERS, growth.workers),
            ("max_activities_per_workspace", ACTIVITIES, growth.activities),
            ("max_tasks_per_workspace", TASKS, growth.tasks),
            ("max_priorities_per_workspace", PRIORITIES, growth.priorities),
        ];
        bounds.into_iter().filter_map(|(name, part, most)| {
            let row = self.holdings.rows.iter().max_by_key(|row| part(&row.size))?;
            let limit = limit(name, part(&row.size) as u64, most as u64);
            Some(v1::LimitStatus { workspace_sid: row.workspace.to_string(), ..limit })
        })
    }

    /// Likewise of one account.
    fn of_accounts(&self) -> impl Iterator<Item = v1::LimitStatus> {
        let growth = &self.api.process.bounds.growth.account;
        let bounds: [(&str, Option<Part>, usize); 5] = [
            ("max_workspaces_per_account", None, growth.workspaces),
            ("max_channels_per_account", Some(CHANNELS), growth.channels),
            ("max_workers_per_account", Some(WORKERS), growth.workers),
            ("max_activities_per_account", Some(ACTIVITIES), growth.activities),
            ("max_tasks_per_account", Some(TASKS), growth.tasks),
        ];
        bounds.into_iter().filter_map(|(name, part, most)| {
            let used = self
                .holdings
                .accounts
                .iter()
                .map(|(account, held)| (part.map_or(held.workspaces, |part| part(&held.size)), account));
            let (used, account) = used.max()?;
            Some(v1::LimitStatus { account_sid: account.to_string(), ..limit(name, used as u64, most as u64) })
        })
    }
}

fn limit(name: &str, used: u64, most: u64) -> v1::LimitStatus {
    let (limit, used, limit_value) = (name.to_owned(), number(used), number(most));
    v1::LimitStatus { limit, used, limit_value, ..v1::LimitStatus::default() }
}

fn size(row: &Row) -> v1::WorkspaceSize {
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
