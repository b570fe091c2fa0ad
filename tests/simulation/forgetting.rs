//! Those who have a workspace forgotten: what becomes of it, and what they must hear.

use std::collections::BTreeMap;
use std::task::Poll;

use tasktally::event::WorkspaceSid;
use tasktally::pipeline::{AskError, Caller, ForgetError, IngestError};

use super::callers::{Answer, poll};
use super::oracle::{Failure, Group, Oracle};
use super::plan::Who;
use super::world::World;
use crate::support::build;

/// Somebody who waits for a workspace to be forgotten.
pub struct Forgetful {
    pub number: usize,
    workspace: WorkspaceSid,
    answer: Answer<Result<i64, ForgetError>>,
}

/// What must be true of forgetting.
#[derive(Default)]
pub struct Forgetting {
    /// Positions on disk that no event has any more: of forgotten events, and of the forgetting itself.
    pub positions: u64,
    times: BTreeMap<WorkspaceSid, u64>,
    wishes: BTreeMap<usize, Wish>,
}

struct Wish {
    caller: Caller,
    workspace: WorkspaceSid,
    /// Nobody waits for it any more.
    gone: bool,
    /// The revision since which it is gone; `None` within where the caller sees no such workspace.
    said: Option<Result<Option<u64>, Failure>>,
}

impl Forgetting {
    /// How often this workspace was forgotten.
    pub fn times(&self, workspace: WorkspaceSid) -> u64 {
        self.times.get(&workspace).copied().unwrap_or(0)
    }

    pub fn note(&mut self, workspace: WorkspaceSid, events: usize) {
        self.positions += events as u64 + 1;
        *self.times.entry(workspace).or_default() += 1;
    }

    pub fn leave(&mut self, number: usize) {
        self.wishes.get_mut(&number).expect("it was sent").gone = true;
    }

    pub fn settle(&mut self, group: &Group, outcome: Result<u64, Failure>) {
        if let Some((number, _)) = group.forgets {
            self.wishes.get_mut(&number).expect("it was sent").said = Some(outcome.map(Some));
        }
    }

    /// The process is gone, and all who waited for it.
    pub fn end(&mut self) {
        self.wishes.clear();
    }
}

impl Oracle {
    fn send_forgetting(&mut self, number: usize, caller: Caller, workspace: WorkspaceSid) {
        let partition = self.partition_of(workspace);
        self.parts[partition].forgets_sent.push_back(number);
        self.forgetting.wishes.insert(number, Wish { caller, workspace, gone: false, said: None });
    }

    /// The partition has heard of the next who wants something forgotten.
    pub fn hear_of_forgetting(&mut self, partition: usize) {
        let part = &mut self.parts[partition];
        let number = part.forgets_sent.pop_front().expect("the partition heard what nobody has sent");
        part.forgets.push_back(number);
    }

    /// Between two groups each has its turn, in a group of its own.
    pub fn begin_forgetting(&mut self, partition: usize) {
        while self.parts[partition].group.is_none()
            && let Some(number) = self.parts[partition].forgets.pop_front()
        {
            let wish = self.forgetting.wishes.get_mut(&number).expect("it was sent");
            if wish.gone {
                continue;
            }
            let workspace = wish.workspace;
            if self.model.account(workspace).is_some_and(|account| wish.caller.sees(account)) {
                self.hand_over(partition, Group::forgetting(number, workspace));
            } else {
                wish.said = Some(Ok(None));
            }
        }
    }
}

impl World {
    pub fn forget(&mut self, workspace: u32, who: Who) {
        let (pipeline, caller) = (self.pipeline(), self.caller(who));
        let (number, workspace) = (self.numbers, build::workspace(workspace));
        self.numbers += 1;
        let mut answer: Answer<_> = Box::pin(async move { pipeline.forget(&caller, workspace).await });
        assert!(poll(&mut answer).is_pending(), "answered before the partition has heard of it");
        self.oracle.send_forgetting(number, caller, workspace);
        self.forgetting.push(Forgetful { number, workspace, answer });
    }

    pub fn hear_of_forgetting(&mut self) {
        let mut heard = Vec::new();
        self.forgetting.retain_mut(|forgetful| match poll(&mut forgetful.answer) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                heard.push((forgetful.number, forgetful.workspace, outcome));
                false
            }
        });
        for (number, workspace, outcome) in heard {
            self.trace.note(&outcome);
            let said = self.oracle.forgetting.wishes.get(&number).and_then(|wish| wish.said);
            let said = said.unwrap_or_else(|| panic!("answered before it is settled: {outcome:?}"));
            let seen = match (outcome, said) {
                (Ok(revision), Ok(Some(end))) => {
                    assert_eq!(revision as u64, end, "since when it is forgotten");
                    let acknowledged = self.acknowledged.entry(workspace).or_default();
                    *acknowledged = (*acknowledged).max(revision);
                    "forgotten"
                }
                (Err(ForgetError::Ask(AskError::UnknownWorkspace)), Ok(None)) => "forgotten in vain",
                (Err(ForgetError::Write(IngestError::Unwritable { .. })), Err(Failure::Unwritable))
                | (Err(ForgetError::Write(IngestError::Stopping)), Err(Failure::Stopping)) => "forgetting failed",
                (outcome, said) => panic!("{said:?}, and who wanted it forgotten heard {outcome:?}"),
            };
            self.see(seen, 1);
        }
    }
}
