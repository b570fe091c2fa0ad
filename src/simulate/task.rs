//! The life of a task, turn by turn. What it has to do with workers is in [`super::offer`].
//!
//! pending → reserved → assigned → wrapping → completed; back to pending when nobody takes the reservation; from
//! assigned to reserved and back for a transfer; canceled from pending or reserved, when the customer or the workflow
//! gives up. After its end only its deletion is told.

use std::cmp::Reverse;

use prost_types::Timestamp;

use super::centre::{Stage, What};
use super::offer::{Answer, Held};
use super::workspace::{OVERFLOW, Workspace, activity};
use crate::api::proto::v1::{self as proto, Event, EventType, TaskAssignmentStatus as Status};

#[derive(Debug)]
pub(super) struct Task {
    /// Number of the lives that had this place; turns of an earlier one are void.
    life: u32,
    /// Grows with each status; turns of work belong to one.
    pub stage: u32,
    pub sid: String,
    created: Timestamp,
    created_us: i64,
    pub status: Status,
    priority: i32,
    channel: usize,
    version: i64,
    /// The queue, and when the task entered it; none before it entered its first.
    queue: Option<(usize, Timestamp)>,
    /// Reservations that wait for their worker's answer.
    pub held: Vec<Held>,
    /// The accepted reservation.
    pub owner: Option<Held>,
    pub transfers: u8,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum TaskTurn {
    Reprioritise,
    Abandon,
    QueueTimeout,
    WorkflowTimeout,
    /// Deleted by request while it waits.
    Withdraw,
    /// The answer to the reservation of this number.
    Answer {
        number: u32,
        answer: Answer,
    },
    WorkDone {
        stage: u32,
    },
    WrapUpDone {
        stage: u32,
    },
    /// Forgotten after its end.
    Delete {
        by_system: bool,
    },
}

impl Task {
    fn ended(&self) -> bool {
        matches!(self.status, Status::Completed | Status::Canceled)
    }

    /// Whether it waits and no worker ever took it.
    fn waits(&self) -> bool {
        matches!(self.status, Status::Pending | Status::Reserved) && self.owner.is_none()
    }

    pub fn queue_place(&self) -> usize {
        self.queue.map_or(OVERFLOW, |(queue, _)| queue)
    }

    fn waiting_key(&self, slot: u32) -> (Reverse<i32>, i64, u32) {
        (Reverse(self.priority), self.created_us, slot)
    }
}

impl Workspace {
    pub fn create_task(&mut self, stage: &mut Stage) {
        let draw = &mut stage.draw;
        let (channel, queue) = (draw.weighted(&[50, 25, 10, 15]), draw.below(OVERFLOW as u64) as usize);
        let task = Task {
            life: 0,
            stage: 0,
            sid: draw.sid("WT"),
            created: Timestamp::default(),
            created_us: stage.now_us,
            status: Status::Pending,
            priority: [0, 5, 10][stage.draw.weighted(&[75, 18, 7])],
            channel,
            version: -1,
            queue: None,
            held: Vec::new(),
            owner: None,
            transfers: 0,
        };
        let slot = self.place(Task { created: stage.timestamp(), ..task });
        self.emit_task(stage, EventType::TaskCreated, slot);
        self.emit_task(stage, EventType::WorkflowEntered, slot);
        if stage.draw.per_mille(10) {
            self.emit_task(stage, EventType::WorkflowSkipped, slot);
        }
        self.enter_queue(stage, slot, queue);
        self.expect_impatience(stage, slot);
        self.offer(stage, slot);
    }

    pub fn take_task_turn(&mut self, stage: &mut Stage, slot: u32, life: u32, turn: TaskTurn) {
        let task = &self.tasks[slot as usize];
        if task.life != life {
            return;
        }
        match turn {
            TaskTurn::Delete { by_system } => {
                let kind = if by_system { EventType::TaskSystemDeleted } else { EventType::TaskDeleted };
                self.emit_task(stage, kind, slot);
                self.give_up_place(slot);
            }
            _ if task.ended() => {}
            TaskTurn::Answer { number, answer } => self.take_answer(stage, slot, number, answer),
            TaskTurn::WorkDone { stage: of } if task.stage == of => self.finish_work(stage, slot),
            TaskTurn::WrapUpDone { stage: of } if task.stage == of => self.complete(stage, slot),
            TaskTurn::WorkDone { .. } | TaskTurn::WrapUpDone { .. } => {}
            _ if !task.waits() => {}
            TaskTurn::Abandon => self.cancel(stage, slot),
            // What a workflow or a request does has to wait until no worker is being asked.
            _ if task.status == Status::Reserved => {
                let delay_us = stage.paced_us(20);
                self.expect(stage, slot, delay_us, turn);
            }
            TaskTurn::Reprioritise => self.reprioritise(stage, slot),
            TaskTurn::QueueTimeout => self.move_to_overflow(stage, slot),
            TaskTurn::WorkflowTimeout => {
                self.emit_task(stage, EventType::WorkflowTimeout, slot);
                self.cancel(stage, slot);
            }
            TaskTurn::Withdraw => {
                self.leave_waiting(slot);
                self.emit_task(stage, EventType::TaskDeleted, slot);
                self.give_up_place(slot);
            }
        }
    }

    /// Has something happen to the task after a while, unless it is gone by then.
    pub fn expect(&self, stage: &mut Stage, slot: u32, delay_us: i64, turn: TaskTurn) {
        stage.after_us(delay_us, What::Task { slot, life: self.tasks[slot as usize].life, turn });
    }

    /// A new status; turns of work that belonged to the old one are void.
    pub fn set_status(&mut self, slot: u32, status: Status) {
        let task = &mut self.tasks[slot as usize];
        task.status = status;
        task.stage += 1;
    }

    /// Tells of the task as it is now.
    pub fn emit_task(&mut self, stage: &mut Stage, kind: EventType, slot: u32) {
        let event = self.task_event(stage, kind, slot);
        stage.emit(event);
    }

    /// Likewise, with the reservation and its worker.
    pub fn emit_reservation(&mut self, stage: &mut Stage, kind: EventType, slot: u32, held: &mut Held) {
        let mut event = self.task_event(stage, kind, slot);
        event.reservation = Some(proto::Reservation { sid: held.sid.clone(), version: held.version });
        event.worker = Some(self.worker_fact(held.worker));
        held.version += 1;
        stage.emit(event);
    }

    fn task_event(&mut self, stage: &mut Stage, kind: EventType, slot: u32) -> Event {
        let task = &mut self.tasks[slot as usize];
        task.version += 1;
        let channel = &self.channels[task.channel];
        let queue = task.queue.map(|(queue, entered)| (&self.queues[queue], entered));
        let fact = proto::Task {
            sid: task.sid.clone(),
            date_created: Some(task.created),
            assignment_status: task.status as i32,
            priority: task.priority,
            task_channel_unique_name: channel.name.to_owned(),
            task_channel_sid: channel.sid.clone(),
            version: task.version,
            task_queue_sid: queue.map_or(String::new(), |(queue, _)| queue.sid.clone()),
            task_queue_name: queue.map_or(String::new(), |(queue, _)| queue.name.to_owned()),
            task_queue_entered_date: queue.map(|(_, entered)| entered),
            workflow_sid: self.workflow.sid.clone(),
            workflow_name: self.workflow.name.to_owned(),
        };
        let mut event = stage.event(&self.sid, kind);
        event.task = Some(fact);
        event
    }

    pub fn start_waiting(&mut self, slot: u32) {
        let task = &self.tasks[slot as usize];
        self.queues[task.queue_place()].waiting.insert(task.waiting_key(slot));
    }

    pub fn leave_waiting(&mut self, slot: u32) {
        let task = &self.tasks[slot as usize];
        self.queues[task.queue_place()].waiting.remove(&task.waiting_key(slot));
    }

    /// Wraps up or, where there is nothing to wrap up, completes.
    pub fn finish(&mut self, stage: &mut Stage, slot: u32) {
        if stage.draw.per_mille(300) {
            return self.complete(stage, slot);
        }
        self.set_status(slot, Status::Wrapping);
        if let Some(mut owner) = self.tasks[slot as usize].owner.take() {
            self.emit_reservation(stage, EventType::ReservationWrapup, slot, &mut owner);
            self.emit_task(stage, EventType::TaskWrapup, slot);
            self.change_activity(stage, owner.worker, activity::WRAP_UP);
            self.tasks[slot as usize].owner = Some(owner);
        }
        let turn = TaskTurn::WrapUpDone { stage: self.tasks[slot as usize].stage };
        let delay_us = stage.around_us(20);
        self.expect(stage, slot, delay_us, turn);
    }

    fn complete(&mut self, stage: &mut Stage, slot: u32) {
        let owner = self.tasks[slot as usize].owner.take();
        if let Some(mut owner) = owner {
            self.emit_reservation(stage, EventType::ReservationCompleted, slot, &mut owner);
            self.set_status(slot, Status::Completed);
            self.emit_task(stage, EventType::TaskCompleted, slot);
            self.release(stage, owner.worker);
        }
        self.end(stage, slot);
    }

    /// The customer or the workflow gives up; workers that were being asked are free again.
    fn cancel(&mut self, stage: &mut Stage, slot: u32) {
        self.leave_waiting(slot);
        let mut held = std::mem::take(&mut self.tasks[slot as usize].held);
        self.set_status(slot, Status::Pending);
        for reservation in &mut held {
            self.emit_reservation(stage, EventType::ReservationCanceled, slot, reservation);
        }
        self.set_status(slot, Status::Canceled);
        self.emit_task(stage, EventType::TaskCanceled, slot);
        self.end(stage, slot);
        for reservation in held {
            self.release(stage, reservation.worker);
        }
    }

    /// Most tasks are forgotten without a word; the deletion of some is told, within the five minutes after their end.
    fn end(&mut self, stage: &mut Stage, slot: u32) {
        let by_system = stage.draw.per_mille(300);
        if stage.draw.per_mille(90) {
            let delay_us = if by_system { 300_000_000 } else { stage.draw.below(240_000_000) as i64 };
            self.expect(stage, slot, delay_us, TaskTurn::Delete { by_system });
        } else {
            self.give_up_place(slot);
        }
    }

    fn reprioritise(&mut self, stage: &mut Stage, slot: u32) {
        self.leave_waiting(slot);
        self.tasks[slot as usize].priority += 5;
        self.emit_task(stage, EventType::TaskUpdated, slot);
        self.start_waiting(slot);
    }

    fn move_to_overflow(&mut self, stage: &mut Stage, slot: u32) {
        if self.tasks[slot as usize].queue_place() == OVERFLOW {
            return;
        }
        self.leave_waiting(slot);
        self.emit_task(stage, EventType::TaskQueueTimeout, slot);
        let entered = stage.timestamp();
        self.tasks[slot as usize].queue = Some((OVERFLOW, entered));
        self.emit_task(stage, EventType::TaskQueueMoved, slot);
        self.enter_queue(stage, slot, OVERFLOW);
        self.offer(stage, slot);
    }

    fn enter_queue(&mut self, stage: &mut Stage, slot: u32, queue: usize) {
        self.emit_task(stage, EventType::WorkflowTargetMatched, slot);
        self.tasks[slot as usize].queue = Some((queue, stage.timestamp()));
        self.emit_task(stage, EventType::TaskQueueEntered, slot);
        self.start_waiting(slot);
    }

    /// What ends a wait that lasts too long.
    fn expect_impatience(&self, stage: &mut Stage, slot: u32) {
        let (queue_timeout_us, workflow_timeout_us) = (stage.paced_us(60), stage.paced_us(900));
        self.expect(stage, slot, queue_timeout_us, TaskTurn::QueueTimeout);
        self.expect(stage, slot, workflow_timeout_us, TaskTurn::WorkflowTimeout);
        for (share, seconds, turn) in [
            (600, 240, TaskTurn::Abandon),
            (60, 20, TaskTurn::Reprioritise),
            (8, 15, TaskTurn::Withdraw),
            // Some think better of it as soon as they hear the announcement.
            (15, 4, TaskTurn::Abandon),
        ] {
            if stage.draw.per_mille(share) {
                let delay_us = stage.around_us(seconds);
                self.expect(stage, slot, delay_us, turn);
            }
        }
    }

    fn place(&mut self, task: Task) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                let life = self.tasks[slot as usize].life;
                self.tasks[slot as usize] = Task { life, ..task };
                slot
            }
            None => {
                self.tasks.push(task);
                (self.tasks.len() - 1) as u32
            }
        }
    }

    fn give_up_place(&mut self, slot: u32) {
        self.tasks[slot as usize].life += 1;
        self.free.push(slot);
    }
}
