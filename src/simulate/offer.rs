//! Where tasks and workers meet: reservations, what workers answer, and transfers.

use super::centre::Stage;
use super::staff::Duty;
use super::task::TaskTurn;
use super::workspace::{OVERFLOW, Workspace, activity};
use crate::api::proto::v1::{EventType, TaskAssignmentStatus as Status};

/// One worker held for a task.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub sid: String,
    pub worker: u32,
    pub version: i64,
    /// The task's stage when the reservation was made: its number among those of the task.
    number: u32,
}

/// What becomes of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Rejected,
    TimedOut,
    /// The one who wanted to hand the task on thinks better of it.
    Withdrawn,
}

/// Transfers of one task at most.
const TRANSFERS: u8 = 2;

impl Workspace {
    /// Offers a waiting task to the worker of its queue that has been idle longest, now and then to two at once.
    pub fn offer(&mut self, stage: &mut Stage, slot: u32) {
        let queue = self.tasks[slot as usize].queue_place();
        let Some(&(_, worker)) = self.queues[queue].idle.first() else { return };
        self.leave_waiting(slot);
        if stage.draw.per_mille(3) {
            // The worker was gone before the reservation could be made; the next attempt succeeds.
            self.emit_task(stage, EventType::ReservationFailed, slot);
        }
        self.reserve(stage, slot, worker);
        if stage.draw.per_mille(40)
            && let Some(&(_, second)) = self.queues[queue].idle.first()
        {
            self.reserve(stage, slot, second);
        }
    }

    /// Offers an idle worker the most urgent task of its queues.
    pub fn offer_work(&mut self, stage: &mut Stage, worker: u32) {
        if !matches!(self.workers[worker as usize].duty, Duty::Idle(_)) {
            return;
        }
        let queues = [self.workers[worker as usize].queue, OVERFLOW];
        let first = queues.into_iter().filter_map(|queue| self.queues[queue].waiting.first()).min();
        let Some(&(.., slot)) = first else { return };
        self.leave_waiting(slot);
        self.reserve(stage, slot, worker);
    }

    pub fn take_answer(&mut self, stage: &mut Stage, slot: u32, number: u32, answer: Answer) {
        let task = &mut self.tasks[slot as usize];
        let Some(place) = task.held.iter().position(|held| held.number == number) else { return };
        let held = task.held.remove(place);
        match (answer, task.owner.is_some()) {
            (Answer::Accepted, false) => self.assign(stage, slot, held),
            (Answer::Accepted, true) => self.complete_transfer(stage, slot, held),
            (_, false) => self.put_back(stage, slot, held, answer),
            (_, true) => self.fail_transfer(stage, slot, held, answer),
        }
    }

    /// The work is done, or goes on with somebody else.
    pub fn finish_work(&mut self, stage: &mut Stage, slot: u32) {
        let task = &self.tasks[slot as usize];
        if task.status != Status::Assigned {
            return;
        }
        let target = self.queues[OVERFLOW].idle.first().map(|&(_, worker)| worker);
        match target {
            Some(target) if task.transfers < TRANSFERS && stage.draw.per_mille(80) => {
                self.transfer(stage, slot, target);
            }
            _ => self.finish(stage, slot),
        }
    }

    fn reserve(&mut self, stage: &mut Stage, slot: u32, worker: u32) {
        self.hold(worker);
        self.set_status(slot, Status::Reserved);
        let task = &self.tasks[slot as usize];
        let (number, is_transfer) = (task.stage, task.owner.is_some());
        let mut held = Held { sid: stage.draw.sid("WR"), worker, version: 0, number };
        self.emit_reservation(stage, EventType::ReservationCreated, slot, &mut held);
        self.tasks[slot as usize].held.push(held);

        let withdrawn = if is_transfer { 80 } else { 0 };
        let choices = [Answer::Accepted, Answer::Rejected, Answer::TimedOut, Answer::Withdrawn];
        let answer = choices[stage.draw.weighted(&[860, 70, 70, withdrawn])];
        let longest_us = stage.paced_us(20);
        let delay_us = if answer == Answer::TimedOut { longest_us } else { stage.around_us(5).min(longest_us) };
        self.expect(stage, slot, delay_us, TaskTurn::Answer { number, answer });
    }

    fn assign(&mut self, stage: &mut Stage, slot: u32, mut held: Held) {
        self.set_status(slot, Status::Assigned);
        self.emit_reservation(stage, EventType::ReservationAccepted, slot, &mut held);
        let mut slower = std::mem::take(&mut self.tasks[slot as usize].held);
        for reservation in &mut slower {
            self.emit_reservation(stage, EventType::ReservationRescinded, slot, reservation);
        }
        self.start_work(stage, slot, held, 180);
        for reservation in slower {
            self.release(stage, reservation.worker);
        }
    }

    /// Nobody took it: the task waits on, and is offered to others before the same worker is free again.
    fn put_back(&mut self, stage: &mut Stage, slot: u32, mut held: Held, answer: Answer) {
        if self.tasks[slot as usize].held.is_empty() {
            self.set_status(slot, Status::Pending);
        }
        let missed = answer == Answer::TimedOut;
        let kind = if missed { EventType::ReservationTimeout } else { EventType::ReservationRejected };
        self.emit_reservation(stage, kind, slot, &mut held);
        if self.tasks[slot as usize].status == Status::Pending {
            self.start_waiting(slot);
            self.offer(stage, slot);
        }
        if missed { self.miss(stage, held.worker) } else { self.release(stage, held.worker) }
    }

    fn start_work(&mut self, stage: &mut Stage, slot: u32, owner: Held, seconds: i64) {
        self.change_activity(stage, owner.worker, activity::BUSY);
        let task = &mut self.tasks[slot as usize];
        task.owner = Some(owner);
        let turn = TaskTurn::WorkDone { stage: task.stage };
        let delay_us = stage.around_us(seconds);
        self.expect(stage, slot, delay_us, turn);
    }

    fn transfer(&mut self, stage: &mut Stage, slot: u32, target: u32) {
        self.tasks[slot as usize].transfers += 1;
        self.emit_task(stage, EventType::TaskTransferInitiated, slot);
        self.reserve(stage, slot, target);
    }

    fn complete_transfer(&mut self, stage: &mut Stage, slot: u32, mut held: Held) {
        self.set_status(slot, Status::Assigned);
        self.emit_reservation(stage, EventType::ReservationAccepted, slot, &mut held);
        self.emit_task(stage, EventType::TaskTransferCompleted, slot);
        let before = self.tasks[slot as usize].owner.take();
        if let Some(mut before) = before {
            self.emit_reservation(stage, EventType::ReservationCompleted, slot, &mut before);
            self.start_work(stage, slot, held, 120);
            self.release(stage, before.worker);
        }
    }

    /// Back from reserved to assigned with no acceptance: the one who had the task keeps it.
    fn fail_transfer(&mut self, stage: &mut Stage, slot: u32, mut held: Held, answer: Answer) {
        self.set_status(slot, Status::Assigned);
        let kind = match answer {
            Answer::TimedOut => EventType::ReservationTimeout,
            Answer::Withdrawn => EventType::ReservationCanceled,
            Answer::Rejected | Answer::Accepted => EventType::ReservationRejected,
        };
        self.emit_reservation(stage, kind, slot, &mut held);
        if answer == Answer::Withdrawn {
            self.emit_task(stage, EventType::TaskTransferCanceled, slot);
        } else {
            self.emit_task(stage, EventType::TaskTransferAttemptFailed, slot);
            self.emit_task(stage, EventType::TaskTransferFailed, slot);
        }
        let turn = TaskTurn::WorkDone { stage: self.tasks[slot as usize].stage };
        let delay_us = stage.around_us(40);
        self.expect(stage, slot, delay_us, turn);
        if answer == Answer::TimedOut { self.miss(stage, held.worker) } else { self.release(stage, held.worker) }
    }
}
