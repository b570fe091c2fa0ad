//! The turns of a partition: takes what comes, in the order of its urgency.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};
use tokio::sync::oneshot;

use super::ask::{Call, Forget, Question};
use super::clock::Clock;
use super::group::{Group, LoggedRow};
use super::growth::MOST_IN_GROUP;
use super::machine::{Step, Work};
use super::partition::Partition;
use super::pasts::{Asked, Pasts};
use super::writer::Verdict;
use crate::event::Millis;
use crate::limits;

/// Once a group holds this many events, no further call joins it.
const FULL_GROUP: usize = MOST_IN_GROUP - LARGEST_CALL;
/// No call holds more events than this.
pub const LARGEST_CALL: usize = limits::PIPELINE_CALL_EVENTS;
/// How often the partition looks after itself.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at what time has changed: watchers are not told more often than this anyway.
const REFRESH_AT_MOST_EVERY: Duration = Duration::from_millis(10);

/// After so many questions a call has its turn: whoever asks without end holds up no events.
const QUESTIONS_IN_A_ROW: usize = 16;

/// What a partition listens to.
pub struct Inbox {
    pub calls: Receiver<Call>,
    pub questions: Receiver<Question>,
    pub verdicts: Receiver<Verdict>,
}

enum Message {
    Verdict(Verdict),
    Question(Question),
    Call(Call),
}

/// The owner of a partition: everything that it does but waiting.
///
/// - Each step takes one message, the most urgent, and reads the clock after it has it: no answer is older than its
///   question.
/// - While a group is being synced no call is taken; the next group gathers in the queue.
/// - Questions come before calls, but never more than [`QUESTIONS_IN_A_ROW`] before a call that could be taken.
pub struct Owner {
    partition: Partition,
    /// What readers add up without asking.
    pasts: Pasts,
    inbox: Inbox,
    /// To the journal's writer. It has a place for a row of each partition, so it never fills.
    journal: Sender<(usize, LoggedRow)>,
    number: usize,
    clock: Arc<dyn Clock>,
    under_way: Option<Group>,
    /// Workspaces to be forgotten, each in a group of its own.
    forgets: VecDeque<Forget>,
    /// Questions that wait for a position.
    waiting: Vec<(u64, oneshot::Sender<()>)>,
    stopping: bool,
    /// Questions since a call was taken, or looked for.
    in_a_row: usize,
    // In the clock's uptime.
    refreshed_at: Duration,
    refresh_at: Duration,
    tidy_at: Duration,
}

impl Owner {
    pub fn new(
        partition: Partition,
        pasts: Pasts,
        inbox: Inbox,
        journal: Sender<(usize, LoggedRow)>,
        number: usize,
        clock: Arc<dyn Clock>,
    ) -> Owner {
        let start = clock.uptime();
        Owner {
            partition,
            pasts,
            inbox,
            journal,
            number,
            clock,
            under_way: None,
            forgets: VecDeque::new(),
            waiting: Vec::new(),
            stopping: false,
            in_a_row: 0,
            refreshed_at: start,
            refresh_at: start,
            tidy_at: start,
        }
    }

    /// Takes one message if there is one, and does what time asks for.
    pub fn step(&mut self) -> Step {
        let message = match self.next_message() {
            Ok(message) => message,
            // Either the journal's writer is gone, and nothing more can be made durable, or every handle is.
            Err(Gone) => return Step::Over,
        };
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        let work = match message {
            Some(Message::Verdict(verdict)) => {
                self.settle(verdict, now);
                self.look_soon();
                Some(Work::Verdict)
            }
            Some(Message::Question(question)) => {
                let mut work = Work::Question;
                match question {
                    Question::Passed(position, reply) => {
                        self.partition.await_more(true);
                        self.waiting.push((position, reply));
                    }
                    Question::Stop => self.stopping = true,
                    Question::Forget(forget) => {
                        self.forgets.push_back(forget);
                        work = Work::Forget;
                    }
                    question => {
                        let asked = Asked::by(&question);
                        self.partition.answer(question, now);
                        if let Some(asked) = asked {
                            self.pasts.keep(asked, &mut self.partition);
                        }
                        self.look_soon();
                    }
                }
                Some(work)
            }
            Some(Message::Call(call)) => Some(self.begin(call, now)),
            None => None,
        };
        self.let_go_on();
        self.begin_forgetting(now);
        if work.is_none() && self.stopping && self.under_way.is_none() && self.inbox.calls.is_empty() {
            return Step::Over;
        }
        self.keep_time(now, uptime);
        let due = self.refresh_at.min(self.tidy_at).saturating_sub(uptime);
        work.map_or(Step::Idle(due), Step::Busy)
    }

    /// Blocks until there may be a message that the next step would take, or for so long.
    pub fn wait(&self, at_most: Duration) {
        let mut select = Select::new();
        select.recv(&self.inbox.verdicts);
        select.recv(&self.inbox.questions);
        if self.under_way.is_none() {
            select.recv(&self.inbox.calls);
        }
        // Which it is, the next step sees for itself.
        let _ = select.ready_timeout(at_most);
    }

    fn next_message(&mut self) -> Result<Option<Message>, Gone> {
        if let Some(verdict) = taken(self.inbox.verdicts.try_recv())? {
            return Ok(Some(Message::Verdict(verdict)));
        }
        if self.in_a_row >= QUESTIONS_IN_A_ROW
            && let Some(call) = self.next_call()?
        {
            return Ok(Some(call));
        }
        if let Some(question) = taken(self.inbox.questions.try_recv())? {
            self.in_a_row += 1;
            return Ok(Some(Message::Question(question)));
        }
        self.next_call()
    }

    fn next_call(&mut self) -> Result<Option<Message>, Gone> {
        if self.under_way.is_some() {
            return Ok(None);
        }
        self.in_a_row = 0;
        Ok(taken(self.inbox.calls.try_recv())?.map(Message::Call))
    }

    /// Admits this call and what else is waiting, and hands the group to the journal.
    fn begin(&mut self, first: Call, now: Millis) -> Work {
        let mut events = first.events.len();
        let mut calls = vec![first];
        while events < FULL_GROUP
            && let Ok(call) = self.inbox.calls.try_recv()
        {
            events += call.events.len();
            calls.push(call);
        }
        let taken = calls.len();
        let group = self.partition.admit(calls, now);
        let work = Work::Admitted { calls: taken, accepted: group.accepted };
        match group.logged() {
            None => {
                let end = self.partition.passed();
                self.partition.settle(group, end, None, now);
            }
            Some(row) => self.hand_over(group, row),
        }
        work
    }

    /// Between two groups a workspace that is to be forgotten has its turn.
    fn begin_forgetting(&mut self, now: Millis) {
        while self.under_way.is_none()
            && let Some(forget) = self.forgets.pop_front()
        {
            if let Some(group) = self.partition.forget(forget, now)
                && let Some(row) = group.logged()
            {
                self.hand_over(group, row);
            }
        }
    }

    fn hand_over(&mut self, group: Group, row: LoggedRow) {
        self.under_way = Some(group);
        if self.journal.send((self.number, row)).is_err() {
            tracing::error!(partition = self.number, "the journal's thread is gone");
        }
    }

    fn settle(&mut self, verdict: Verdict, now: Millis) {
        match (verdict, self.under_way.take()) {
            (Verdict::Synced { end, append }, Some(group)) => {
                self.pasts.withdraw(&group);
                self.partition.settle(group, end, Some(append), now);
            }
            (Verdict::Passed { end }, group) => {
                self.under_way = group;
                self.partition.pass(end);
            }
            (Verdict::Failed { error }, Some(group)) => self.partition.abandon(group, &error),
            (verdict @ (Verdict::Synced { .. } | Verdict::Failed { .. }), None) => {
                unreachable!("{verdict:?} for partition {}, which has no group under way", self.number)
            }
        }
    }

    /// Answers those who have waited for a position that is passed now.
    fn let_go_on(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let passed = self.partition.passed();
        for (_, reply) in self.waiting.extract_if(.., |(position, _)| *position <= passed) {
            let _ = reply.send(());
        }
        self.partition.await_more(!self.waiting.is_empty());
    }

    /// What was just published may become untrue earlier than what was known before.
    fn look_soon(&mut self) {
        self.refresh_at = self.refresh_at.min(self.refreshed_at + REFRESH_AT_MOST_EVERY);
    }

    fn keep_time(&mut self, now: Millis, uptime: Duration) {
        if uptime >= self.refresh_at {
            let wait = match self.partition.refresh(now) {
                Some(until) => Duration::from_millis(until.since(now) as u64).min(TIDY_EVERY),
                None => TIDY_EVERY,
            };
            self.refreshed_at = uptime;
            self.refresh_at = uptime + wait.max(REFRESH_AT_MOST_EVERY);
        }
        if uptime >= self.tidy_at {
            self.pasts.clear();
            self.partition.tidy(now);
            self.tidy_at = uptime + TIDY_EVERY;
        }
    }
}

/// The other end of a channel is gone.
struct Gone;

fn taken<T>(received: Result<T, TryRecvError>) -> Result<Option<T>, Gone> {
    match received {
        Ok(message) => Ok(Some(message)),
        Err(TryRecvError::Empty) => Ok(None),
        Err(TryRecvError::Disconnected) => Err(Gone),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::{
        Caller, Ephemeral, GrowthLimits, Machine, Patience, Pipeline, Recovered, Settings, SystemClock,
    };
    use super::*;
    use crate::engine::ChannelFilter;
    use crate::event::{AccountSid, Event, EventKind, EventSid, WorkspaceSid};

    const HOME: WorkspaceSid = WorkspaceSid::from_bytes([7; 16]);

    fn event(number: u8, now: Millis) -> Event {
        Event {
            sid: EventSid::from_bytes([number; 16]),
            kind: EventKind::WorkspaceUpdated,
            at: now,
            account: AccountSid::from_bytes([1; 16]),
            workspace: HOME,
            task: None,
            reservation: None,
            worker: None,
            activity: None,
        }
    }

    #[test]
    fn questions_without_end_hold_up_no_events() {
        let growth = GrowthLimits { workspaces: 1, name_bytes: 100, ..GrowthLimits::default() };
        let settings = Settings {
            retention_ms: crate::event::DAY_MS,
            partitions: 1,
            queue_events: 10,
            queue_questions: 1_000,
            views: 0,
            views_per_workspace: 0,
            min_free_disk_bytes: 0,
            growth,
        };
        let (clock, store) = (Arc::new(SystemClock), Box::new(Ephemeral::default()));
        let mut machine =
            Machine::new(settings, clock.clone(), store, Recovered::nothing(), Path::new(""), Pipeline::default());
        let (pipeline, caller, all) = (machine.pipeline.clone(), Caller::everything(), ChannelFilter::All);
        let mut context = Context::from_waker(Waker::noop());
        // Two calls, behind questions that never become fewer.
        for number in [1, 2] {
            let mut questions: Vec<_> = (0..500).map(|_| Box::pin(pipeline.realtime(&caller, HOME, &all))).collect();
            questions.iter_mut().for_each(|question| assert!(question.as_mut().poll(&mut context).is_pending()));
            let submit = pipeline.submit(&caller, vec![(0, event(number, clock.now()))], Patience::Refuse);
            let Poll::Ready(Ok(_submitted)) = pin!(submit).poll(&mut context) else { panic!("there is room") };
            let mut before = 0;
            while let Step::Busy(Work::Question) = machine.step_partition(0) {
                before += 1;
            }
            assert!(before <= QUESTIONS_IN_A_ROW, "{before} questions came before a call");
            // It is synced and settled, and the questions go on.
            machine.step_writer();
            assert_eq!(machine.step_partition(0), Step::Busy(Work::Verdict));
            assert_eq!(machine.step_partition(0), Step::Busy(Work::Question));
            while let Step::Busy(_) = machine.step_partition(0) {}
            assert!(questions.iter_mut().all(|question| question.as_mut().poll(&mut context).is_ready()));
        }
    }
}
