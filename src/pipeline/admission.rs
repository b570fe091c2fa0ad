//! The door: which events are taken. Decided once, here; only what was accepted is logged, and replay never asks again.

use hashbrown::hash_map::Entry;

use super::ask::Refusal;
use super::caller::Caller;
use super::growth::{Growth, Terms};
use super::ledger::Ledger;
use crate::engine::{Table, TableSet, Workspace, Workspaces};
use crate::event::{AccountSid, Event, HOUR_MS, Millis, Name, WorkspaceSid};
use crate::limits;

/// How far ahead of the server's clock an event may be dated.
pub const MOST_AHEAD_MS: i64 = limits::FUTURE_SKEW.as_millis() as i64;

/// What becomes of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    /// Its original is on disk already.
    Duplicate,
    /// Its original is in the group that is being made: it is on disk when the group is.
    DuplicateInGroup,
    Refused(Refusal),
}

/// What the events accepted into the group that is being made have claimed, before any of it is in the engine.
#[derive(Default)]
pub struct Claims {
    events: TableSet<(WorkspaceSid, crate::event::EventSid, i64)>,
    accounts: Table<WorkspaceSid, AccountSid>,
    growth: Table<WorkspaceSid, Growth>,
}

pub struct Door<'a> {
    pub workspaces: &'a Workspaces,
    pub claims: &'a mut Claims,
    pub ledger: &'a Ledger,
    pub terms: Terms<'a>,
    pub retention_ms: i64,
    pub now: Millis,
}

impl Door<'_> {
    /// Decides on one event. The order of the reasons is the contract's: too old, too new, account, limits. Whether it is
    /// a duplicate comes before the limits alone: it makes nothing grow, also where a limit was lowered since.
    pub fn judge(&mut self, caller: &Caller, event: &Event) -> Verdict {
        match self.verdict(caller, event) {
            Ok(verdict) => verdict,
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    fn verdict(&mut self, caller: &Caller, event: &Event) -> Result<Verdict, Refusal> {
        // Of what is not the caller's nothing is looked at, so that no answer can tell of it.
        let is_own = caller.sees(event.account);
        let workspace = if is_own { self.workspaces.get(&event.workspace).map(Box::as_ref) } else { None };
        let mut oldest = self.now.minus(self.retention_ms);
        if let Some(workspace) = workspace {
            // After the host's clock was set back: what is forgotten can no longer be recognised.
            oldest = oldest.max(workspace.oldest());
        }
        if event.at < oldest {
            return Err(Refusal::TooOld { oldest });
        }
        let newest = self.now.plus(MOST_AHEAD_MS);
        if event.at > newest {
            return Err(Refusal::TooNew { newest });
        }
        if !is_own {
            return Err(Refusal::AccountMismatch);
        }
        let bound = workspace.map(Workspace::account).or_else(|| self.claims.accounts.get(&event.workspace).copied());
        if bound.is_some_and(|account| account != event.account) {
            return Err(Refusal::AccountMismatch);
        }
        if workspace.is_some_and(|workspace| workspace.has(event)) {
            return Ok(Verdict::Duplicate);
        }
        let identity = (event.workspace, event.sid, event.second().0);
        if !self.claims.events.insert(identity) {
            return Ok(Verdict::DuplicateInGroup);
        }
        let taken = self.take(event, workspace);
        if taken.is_err() {
            self.claims.events.remove(&identity);
        }
        taken.map(|()| Verdict::Accepted)
    }

    /// Takes an event of which nothing is known yet, if it may be taken.
    fn take(&mut self, event: &Event, workspace: Option<&Workspace>) -> Result<(), Refusal> {
        // Only now, so that an end that was taken while it could be is known again.
        if let Some(oldest) = workspace.and_then(|workspace| workspace.oldest_end(event)) {
            return Err(Refusal::TooOld { oldest });
        }
        let most_bytes = self.terms.limits.name_bytes;
        if let Some(field) = name_longer_than(most_bytes, event) {
            return Err(Refusal::NameTooLong { field, most: most_bytes as u64 });
        }
        self.take_room(event, workspace)
    }

    fn take_room(&mut self, event: &Event, state: Option<&Workspace>) -> Result<(), Refusal> {
        let Door { ledger, terms, .. } = *self;
        let Claims { growth, accounts, .. } = &mut *self.claims;
        let sid = event.workspace;
        let growth_there = match growth.entry(sid) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => place.insert(match (state, ledger.holding(sid)) {
                (Some(state), Some(holding)) => Growth::of(state, holding.clone(), terms),
                _ => Growth::of_new(event.account, ledger.accounts(), terms)?,
            }),
        };
        let taken = growth_there.take(state, event, terms.limits);
        match taken {
            Ok(()) if state.is_none() => {
                accounts.insert(sid, event.account);
            }
            Err(_) if growth_there.is_idle() => {
                // The workspace would be there for nothing.
                if let Some(idle) = growth.remove(&sid) {
                    idle.give_back(ledger.accounts());
                }
            }
            Ok(()) | Err(_) => {}
        }
        taken
    }
}

impl Claims {
    /// The group is applied.
    pub fn settle(&mut self, workspaces: &Workspaces, ledger: &mut Ledger) {
        self.clear();
        for (sid, growth) in self.growth.drain() {
            match workspaces.get(&sid) {
                Some(state) => growth.settle(sid, state, ledger),
                None => growth.give_back(ledger.accounts()),
            }
        }
    }

    /// Nothing of the group has happened.
    pub fn give_back(&mut self, ledger: &Ledger) {
        self.clear();
        for (_, growth) in self.growth.drain() {
            growth.give_back(ledger.accounts());
        }
    }

    fn clear(&mut self) {
        self.events.clear();
        self.accounts.clear();
    }
}

/// The path of the first name of more bytes than that, in the order of the contract's tables.
fn name_longer_than(bytes: usize, event: &Event) -> Option<&'static str> {
    let too_long = |name: &Option<Name>| name.as_ref().is_some_and(|name| name.len() > bytes);
    if let Some(task) = &event.task {
        if too_long(&task.channel_name) {
            return Some("task.task_channel_unique_name");
        } else if too_long(&task.queue_name) {
            return Some("task.task_queue_name");
        } else if too_long(&task.workflow_name) {
            return Some("task.workflow_name");
        }
    }
    if let Some(worker) = &event.worker {
        if too_long(&worker.name) {
            return Some("worker.friendly_name");
        } else if too_long(&worker.activity_name) {
            return Some("worker.activity_name");
        }
    }
    event.activity.as_ref().is_some_and(|activity| too_long(&activity.name)).then_some("activity.friendly_name")
}

const _: () = assert!(MOST_AHEAD_MS < HOUR_MS, "what is dated ahead must stay well within the clock's slack");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, EventSid};
    use crate::pipeline::{GrowthLimits, Roles, Scope};

    #[test]
    fn of_another_accounts_workspace_not_even_its_age_is_told() {
        let account = |byte: u8| AccountSid::from_bytes([byte; 16]);
        let (mine, sid) = (account(1), WorkspaceSid::from_bytes([1; 16]));
        let now = Millis(1_800_000_000_000);
        // It has seen a later time than the clock, which was set back, says now.
        let mut workspace = Workspace::new(mine, HOUR_MS, 7);
        workspace.see(now.plus(5 * HOUR_MS));
        assert!(workspace.oldest() > now);
        let mut workspaces = Table::default();
        workspaces.insert(sid, Box::new(workspace));
        let ledger = Ledger::new(Default::default(), &workspaces);
        let limits = GrowthLimits::default();
        let judge = |scope: Scope, account: AccountSid| {
            let event = Event {
                sid: EventSid::from_bytes([1; 16]),
                kind: EventKind::WorkspaceUpdated,
                at: now,
                account,
                workspace: sid,
                task: None,
                reservation: None,
                worker: None,
                activity: None,
            };
            let mut claims = Claims::default();
            let terms = Terms { limits: &limits, partitions: 1, events: 1 };
            let claims = &mut claims;
            let mut door = Door { workspaces: &workspaces, claims, ledger: &ledger, terms, retention_ms: HOUR_MS, now };
            door.judge(&Caller { scope, roles: Roles::ALL }, &event)
        };
        assert!(matches!(judge(Scope::Account(mine), mine), Verdict::Refused(Refusal::TooOld { .. })));
        let foreign = judge(Scope::Account(account(2)), mine);
        assert_eq!(foreign, Verdict::Refused(Refusal::AccountMismatch), "by what the event says alone");
        assert_eq!(judge(Scope::All, mine), judge(Scope::Account(mine), mine));
    }
}
