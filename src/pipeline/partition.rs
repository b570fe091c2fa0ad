//! A partition: a share of the workspaces, and the one that owns them.
//!
//! This is the synchronous core: it reads no clock, waits for nothing and knows no thread. A group goes
//! `admit` → (appended and synced by the journal) → `settle` = apply → publish → reply; between the two the partition
//! answers questions, from the state before the group.

use std::sync::Arc;

use super::Settings;
use super::admission::{Claims, Door, Verdict};
use super::ask::{
    AskError, Call, CumulativeQuestion, Forget, ForgetError, Frozen, IngestError, Ingested, Question, Stamped,
};
use super::caller::Caller;
use super::clock::Clock;
use super::counted::{Census, Counted};
use super::followed::Followed;
use super::group::{Group, Pending};
use super::growth::Terms;
use super::holdings::Holdings;
use super::ledger::{Accounts, Counts, Ledger};
use super::passed::Passed;
use super::shelf::Shelf;
use super::topic::Topic;
use crate::engine::{ChannelFilter, Cumulative, Realtime, WindowError, Workspace, WorkspaceRow, Workspaces};
use crate::event::{Millis, WorkspaceSid};
use crate::trace::passage::Append;

pub struct Partition {
    settings: Settings,
    key: u64,
    workspaces: Workspaces,
    claims: Claims,
    ledger: Ledger,
    shelf: Shelf,
    /// The end of the last group that was applied and published here, or in which nothing was for this partition.
    passed: Arc<Passed>,
    clock: Arc<dyn Clock>,
    counted: Arc<Counted>,
    census: Census,
}

impl Partition {
    pub fn new(
        settings: Settings,
        key: u64,
        workspaces: Workspaces,
        accounts: Accounts,
        shelf: Shelf,
        passed: Arc<Passed>,
        clock: Arc<dyn Clock>,
    ) -> Partition {
        let ledger = Ledger::new(accounts, &workspaces);
        let (claims, counted, census) = (Claims::default(), Arc::default(), Census::default());
        Partition { settings, key, workspaces, claims, ledger, shelf, passed, clock, counted, census }
    }

    /// What it counts of itself.
    pub fn counted(&self) -> Arc<Counted> {
        self.counted.clone()
    }

    pub(super) fn retention_ms(&self) -> i64 {
        self.settings.retention_ms
    }

    pub fn passed(&self) -> u64 {
        self.passed.position()
    }

    /// Decides on every event of the calls. What was accepted is in the group, in order; nothing is applied yet.
    pub fn admit(&mut self, calls: Vec<Call>, now: Millis) -> Group {
        let most = calls.iter().map(|call| call.events.len()).sum();
        let terms = Terms { limits: &self.settings.growth, partitions: self.settings.partitions, events: most };
        let mut group = Group { accepted: 0, admitted_at: now, replies: Vec::with_capacity(calls.len()), forget: None };
        for mut call in calls {
            // The caller's deadline has passed or it has gone: work not begun is dropped.
            if call.reply.is_closed() {
                continue;
            }
            let mut ingested = Ingested::default();
            let mut depends = false;
            call.events.retain(|(index, event)| {
                let mut door = Door {
                    workspaces: &self.workspaces,
                    claims: &mut self.claims,
                    ledger: &self.ledger,
                    terms,
                    retention_ms: self.settings.retention_ms,
                    now,
                };
                let verdict = door.judge(&call.caller, event);
                match verdict {
                    Verdict::Accepted => ingested.accepted += 1,
                    Verdict::Duplicate | Verdict::DuplicateInGroup => ingested.duplicates += 1,
                    Verdict::Refused(refusal) => ingested.refused.push((*index, refusal)),
                }
                depends |= matches!(verdict, Verdict::Accepted | Verdict::DuplicateInGroup);
                verdict == Verdict::Accepted
            });
            group.accepted += call.events.len();
            group.replies.push(Pending { call, ingested, depends });
        }
        group
    }

    /// The group is on disk up to `end`, or (where it holds no event) `end` is what has been passed anyway:
    /// apply → publish → reply.
    pub fn settle(&mut self, group: Group, end: u64, append: Option<Append>, now: Millis) {
        let mut followed = Followed::begin(&group, append);
        let mut touched = self.apply(&group);
        self.claims.settle(&self.workspaces, &mut self.ledger);
        self.counted.accept(group.events(), group.admitted_at);
        followed.iter_mut().for_each(Followed::applied);
        touched.sort_unstable();
        touched.dedup();
        for workspace in touched {
            self.publish(workspace, end, now);
        }
        if let Some(Forget { workspace, .. }) = &group.forget {
            self.remove(*workspace);
        }
        self.pass(end);
        followed.into_iter().for_each(|followed| followed.published(&group));
        for Pending { call, mut ingested, .. } in group.replies {
            self.counted.repeat(ingested.duplicates);
            ingested.revision = end as i64;
            // A caller that has gone does not hear it; its events are in all the same.
            let _ = call.reply.send(Ok(ingested));
        }
        if let Some(Forget { reply, .. }) = group.forget {
            let _ = reply.send(Ok(end as i64));
        }
    }

    /// Answers the workspaces of the group, some more than once.
    fn apply(&mut self, group: &Group) -> Vec<WorkspaceSid> {
        let mut touched = Vec::new();
        let mut events = group.events().peekable();
        while let Some(first) = events.peek() {
            let (workspace, account) = (first.workspace, first.account);
            let (retention_ms, key) = (self.settings.retention_ms, self.key);
            let state = self.workspaces.entry(workspace);
            let state = state.or_insert_with(|| Box::new(Workspace::new(account, retention_ms, key)));
            // Mostly all of them are of one.
            while let Some(event) = events.next_if(|event| event.workspace == workspace) {
                state.apply(event, group.admitted_at);
            }
            touched.push(workspace);
        }
        touched
    }

    /// Begins to forget a workspace; `None` where that is settled already, because the caller sees no such workspace.
    pub fn forget(&mut self, forget: Forget, now: Millis) -> Option<Group> {
        // The caller's deadline has passed or it has gone: work not begun is dropped.
        if forget.reply.is_closed() {
            return None;
        }
        if let Err(unknown) = self.visible(&forget.caller, forget.workspace) {
            let _ = forget.reply.send(Err(unknown.into()));
            return None;
        }
        Some(Group { accepted: 0, admitted_at: now, replies: Vec::new(), forget: Some(forget) })
    }

    /// Nothing is left of the workspace but what somebody still holds in hand, and that says that it has ended. Before
    /// the position is passed, so that nothing old is shown under a new revision.
    fn remove(&mut self, workspace: WorkspaceSid) {
        if self.workspaces.remove(&workspace).is_some() {
            self.ledger.release(workspace);
            self.census.forget(workspace);
        }
        for topic in self.shelf.remove(workspace) {
            topic.end();
        }
    }

    /// The journal did not take the group: nothing of it has happened.
    pub fn abandon(&mut self, group: Group, error: &IngestError) {
        self.claims.give_back(&self.ledger);
        let passed = self.passed();
        for Pending { call, mut ingested, depends } in group.replies {
            ingested.revision = passed as i64;
            let _ = call.reply.send(if depends { Err(error.clone()) } else { Ok(ingested) });
        }
        if let Some(Forget { reply, .. }) = group.forget {
            let _ = reply.send(Err(ForgetError::Write(error.clone())));
        }
    }

    /// Everything up to `end` is settled, or was for other partitions.
    pub fn pass(&self, end: u64) {
        self.passed.advance(end);
    }

    /// Whether somebody waits for a position.
    pub fn await_more(&self, awaited: bool) {
        self.passed.await_more(awaited);
    }

    fn publish(&mut self, workspace: WorkspaceSid, revision: u64, now: Millis) {
        let Some(state) = self.workspaces.get_mut(&workspace) else { return };
        for topic in self.shelf.topics_of(workspace) {
            topic.publish(state.realtime(&topic.filter, now), revision, now);
        }
    }

    /// Publishes afresh what time alone has made untrue; answers when to come again.
    pub fn refresh(&mut self, now: Millis) -> Option<Millis> {
        let revision = self.passed();
        let mut next: Option<Millis> = None;
        for topic in self.shelf.watched() {
            if !topic.is_current()
                && let Some(state) = self.workspaces.get_mut(&topic.workspace)
            {
                topic.publish(state.realtime(&topic.filter, now), revision, now);
            }
            let until = topic.latest().answer.valid_until;
            next = next.into_iter().chain(until).min();
        }
        next
    }

    /// Drops topics that nobody wants, and lets every workspace forget what is too old.
    pub fn tidy(&mut self, now: Millis) {
        self.shelf.drop_unwanted(now, self.settings.views_per_workspace);
        self.census.begin();
        for (sid, workspace) in &mut self.workspaces {
            workspace.see(now);
            self.ledger.note(*sid, &Counts::default(), workspace.size());
            self.census.count(*sid, workspace);
        }
        self.counted.hold(self.census.sum());
    }

    pub fn answer(&mut self, question: Question, now: Millis) {
        match question {
            Question::Realtime(caller, workspace, filter, reply) => {
                let answer = self.realtime(&caller, workspace, &filter, now);
                if let Ok(answer) = &answer {
                    self.keep_for_readers(workspace, filter, &answer.answer, now);
                }
                let _ = reply.send(answer);
            }
            Question::Cumulative(caller, workspace, question, reply) => {
                let _ = reply.send(self.cumulative(&caller, workspace, &question, now));
            }
            Question::Past(caller, workspace, question, reply) => {
                let _ = reply.send(self.past(&caller, workspace, &question, now));
            }
            Question::Statistics(caller, workspace, question, reply) => {
                let _ = reply.send(self.statistics(&caller, workspace, &question, now));
            }
            Question::Topic(caller, workspace, filter, reply) => {
                let _ = reply.send(self.topic(&caller, workspace, filter, now));
            }
            Question::Workspaces(caller, after, at_most, reply) => {
                let _ = reply.send(Ok(self.list_workspaces(&caller, after, at_most)));
            }
            Question::Holdings(at_most, reply) => {
                let _ = reply.send(Ok(Holdings::of(&self.workspaces, at_most)));
            }
            Question::Channels(caller, workspace, after, at_most, reply) => {
                let rows =
                    self.visible(&caller, workspace).map(|state| state.list_channels(after.as_deref(), at_most, now));
                let _ = reply.send(rows);
            }
            Question::Freeze(reply) => {
                let workspaces = self.workspaces.iter().map(|(sid, state)| (*sid, Workspace::clone(state))).collect();
                let _ = reply.send(Frozen { position: self.passed(), workspaces });
            }
            // These are the owner's own business (`owner.rs`).
            Question::Forget(_) | Question::Passed(..) | Question::Stop => {}
        }
    }

    pub(super) fn visible(&mut self, caller: &Caller, workspace: WorkspaceSid) -> Result<&mut Workspace, AskError> {
        let state = self.workspaces.get_mut(&workspace).filter(|state| caller.sees(state.account()));
        state.map(Box::as_mut).ok_or(AskError::UnknownWorkspace)
    }

    pub(super) fn stamp<T>(&self, as_of: Millis, answer: T) -> Stamped<T> {
        Stamped { revision: self.passed() as i64, as_of, answer }
    }

    fn realtime(
        &mut self,
        caller: &Caller,
        workspace: WorkspaceSid,
        filter: &ChannelFilter,
        now: Millis,
    ) -> Result<Stamped<Arc<Realtime>>, AskError> {
        let realtime = Arc::new(self.visible(caller, workspace)?.realtime(filter, now));
        Ok(self.stamp(now, realtime))
    }

    fn cumulative(
        &mut self,
        caller: &Caller,
        workspace: WorkspaceSid,
        question: &CumulativeQuestion,
        now: Millis,
    ) -> Result<Stamped<Cumulative>, AskError> {
        let retention_ms = self.settings.retention_ms;
        // A question that is no question is told so before its workspace is looked for; one that reaches too far, after.
        let range = question.window.resolve(now, retention_ms);
        if let Err(empty @ WindowError::Empty { .. }) = range {
            return Err(empty.into());
        }
        let state = self.visible(caller, workspace)?;
        let range = range?;
        let cumulative = state.cumulative(&question.channel, range, &question.thresholds);
        Ok(self.stamp(now, cumulative))
    }

    fn statistics(
        &mut self,
        caller: &Caller,
        workspace: WorkspaceSid,
        question: &CumulativeQuestion,
        now: Millis,
    ) -> Result<Stamped<(Arc<Realtime>, Cumulative)>, AskError> {
        let cumulative = self.cumulative(caller, workspace, question, now)?.answer;
        let realtime = self.realtime(caller, workspace, &question.channel, now)?.answer;
        Ok(self.stamp(now, (realtime, cumulative)))
    }

    /// For a watcher. It stays on the shelf for as long as it is held and does not count as read: whoever watches one
    /// made-up channel after the other leaves nothing behind.
    fn topic(
        &mut self,
        caller: &Caller,
        workspace: WorkspaceSid,
        filter: ChannelFilter,
        now: Millis,
    ) -> Result<Arc<Topic>, AskError> {
        let realtime = self.visible(caller, workspace)?.realtime(&filter, now);
        let revision = self.passed();
        if let Some(topic) = self.shelf.find(workspace, &filter) {
            topic.publish(realtime, revision, now);
            return Ok(topic);
        }
        let topic = Topic::new(workspace, filter, realtime, revision, self.passed.clone(), self.clock.clone());
        Ok(self.shelf.put(topic))
    }

    /// The next reader of this answer finds it on the shelf. Unknown channels are not worth a place.
    fn keep_for_readers(
        &mut self,
        workspace: WorkspaceSid,
        filter: ChannelFilter,
        realtime: &Arc<Realtime>,
        now: Millis,
    ) {
        if let Some(topic) = self.shelf.find(workspace, &filter) {
            // It is there, but time had made it untrue.
            topic.touch();
            return topic.publish(Realtime::clone(realtime), self.passed(), now);
        }
        let known = self.workspaces.get(&workspace).is_some_and(|state| state.covers(&filter));
        let room = self.shelf.count_of(workspace) < self.settings.views_per_workspace
            && self.shelf.len() < self.settings.views;
        if known && room {
            let (passed, clock) = (self.passed.clone(), self.clock.clone());
            let topic = Topic::new(workspace, filter, Realtime::clone(realtime), self.passed(), passed, clock);
            self.shelf.put(topic).touch();
        }
    }

    fn list_workspaces(&self, caller: &Caller, after: Option<WorkspaceSid>, at_most: usize) -> Vec<WorkspaceRow> {
        let mut rows: Vec<WorkspaceRow> = self
            .workspaces
            .iter()
            .filter(|(sid, state)| after.is_none_or(|after| **sid > after) && caller.sees(state.account()))
            .map(|(sid, state)| WorkspaceRow { workspace: *sid, account: state.account() })
            .collect();
        rows.sort_unstable_by_key(|row| row.workspace);
        rows.truncate(at_most);
        rows
    }
}
