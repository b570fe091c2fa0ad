//! The workers: hired, on and off shift, on break, free or held by a task.

use super::centre::{Stage, What};
use super::workspace::{OVERFLOW, Workspace, activity};
use crate::api::proto::v1::{self as proto, EventType};

#[derive(Debug)]
pub(super) struct Worker {
    pub sid: String,
    pub name: String,
    /// Place in [`Workspace::activities`].
    pub activity: usize,
    pub version: i64,
    pub duty: Duty,
    /// The queue that the worker serves beside the overflow.
    pub queue: usize,
    /// The shift ended while the worker was held by a task.
    leaving: bool,
    /// Number of the shift or pause; turns of an earlier one are void.
    spell: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    Off,
    /// Free since this moment, in microseconds, and in its queues' idle sets.
    Idle(i64),
    /// Held by a reservation or at work.
    Held,
    Paused,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum WorkerTurn {
    ShiftStarts,
    ShiftEnds { spell: u32 },
    PauseEnds { spell: u32 },
}

const NAMES: [&str; 20] = [
    "Ada", "Bela", "Chidi", "Dana", "Emre", "Fumiko", "Goran", "Hana", "Imani", "Jonas", "Kaia", "Luis", "Mira",
    "Noor", "Olek", "Priya", "Quinn", "Rosa", "Sami", "Tove",
];

const HOUR_US: i64 = 3_600_000_000;

/// Longest shift. Shifts are those of real life at any pace.
const SHIFT_US: i64 = 8 * HOUR_US;

/// Share of the workers on shift.
const ON_SHIFT_PER_MILLE: u64 = 700;

impl Workspace {
    /// Gives the place a new worker, who comes in at once or when a later shift starts.
    pub fn hire(&mut self, stage: &mut Stage, place: u32, workspace_index: usize) {
        let number = place as usize + workspace_index * 7;
        let worker = Worker {
            sid: stage.draw.sid("WK"),
            name: format!("{} {}", NAMES[number % NAMES.len()], place + 1),
            activity: activity::OFFLINE,
            version: 0,
            duty: Duty::Off,
            queue: place as usize % OVERFLOW,
            leaving: false,
            spell: 0,
        };
        match self.workers.get_mut(place as usize) {
            Some(old) => *old = worker,
            None => self.workers.push(worker),
        }
        self.emit_worker(stage, EventType::WorkerCreated, place);
        let delay_us = if stage.draw.per_mille(ON_SHIFT_PER_MILLE) {
            // The first shifts are under way when the centre opens: all are in within half a minute of its pace.
            let within_us = stage.paced_us(30);
            stage.draw.below(within_us as u64) as i64
        } else {
            off_us(stage)
        };
        stage.after_us(delay_us, What::Worker(place, WorkerTurn::ShiftStarts));
    }

    pub fn take_worker_turn(&mut self, stage: &mut Stage, place: u32, turn: WorkerTurn) {
        let worker = &mut self.workers[place as usize];
        match turn {
            WorkerTurn::ShiftStarts => self.start_shift(stage, place),
            WorkerTurn::ShiftEnds { spell } if worker.spell == spell => match worker.duty {
                Duty::Held => worker.leaving = true,
                Duty::Idle(_) | Duty::Paused => self.end_shift(stage, place),
                Duty::Off => {}
            },
            WorkerTurn::PauseEnds { spell } => {
                if worker.spell == spell && worker.duty == Duty::Paused {
                    self.become_idle(stage, place);
                }
            }
            WorkerTurn::ShiftEnds { .. } => {}
        }
    }

    /// Takes a free worker off the queues: it is held from now on.
    pub fn hold(&mut self, place: u32) {
        self.leave_queues(place);
        self.workers[place as usize].duty = Duty::Held;
    }

    /// The worker is done with a reservation: goes home, has a break, or is free again.
    pub fn release(&mut self, stage: &mut Stage, place: u32) {
        if self.workers[place as usize].leaving {
            self.end_shift(stage, place);
        } else if stage.draw.per_mille(30) {
            self.pause(stage, place, activity::BREAK, 300);
        } else {
            self.become_idle(stage, place);
        }
    }

    /// The worker missed a reservation and is not offered another for a while.
    pub fn miss(&mut self, stage: &mut Stage, place: u32) {
        if self.workers[place as usize].leaving {
            self.end_shift(stage, place);
        } else {
            self.pause(stage, place, activity::UNAVAILABLE, 30);
        }
    }

    pub fn change_activity(&mut self, stage: &mut Stage, place: u32, activity: usize) {
        if self.workers[place as usize].activity != activity {
            self.workers[place as usize].activity = activity;
            self.emit_worker(stage, EventType::WorkerActivityUpdate, place);
        }
    }

    /// The worker as an event shows it.
    pub fn worker_fact(&self, place: u32) -> proto::Worker {
        let worker = &self.workers[place as usize];
        let activity = &self.activities[worker.activity];
        proto::Worker {
            sid: worker.sid.clone(),
            friendly_name: worker.name.clone(),
            activity_sid: activity.sid.clone(),
            activity_name: activity.name.to_owned(),
            version: worker.version,
        }
    }

    fn start_shift(&mut self, stage: &mut Stage, place: u32) {
        let worker = &mut self.workers[place as usize];
        worker.leaving = false;
        worker.spell += 1;
        let spell = worker.spell;
        for (kind, share) in [
            (EventType::WorkerAttributesUpdate, 100),
            (EventType::WorkerCapacityUpdate, 50),
            (EventType::WorkerChannelAvailabilityUpdate, 50),
        ] {
            if stage.draw.per_mille(share) {
                self.emit_worker(stage, kind, place);
            }
        }
        // Uniform, as if the shift had been under way: so that not all go home at the same time.
        let length_us = stage.draw.below(SHIFT_US as u64) as i64 + 60_000_000;
        stage.after_us(length_us, What::Worker(place, WorkerTurn::ShiftEnds { spell }));
        self.become_idle(stage, place);
    }

    fn end_shift(&mut self, stage: &mut Stage, place: u32) {
        self.leave_queues(place);
        self.change_activity(stage, place, activity::OFFLINE);
        let worker = &mut self.workers[place as usize];
        worker.duty = Duty::Off;
        worker.leaving = false;
        worker.spell += 1;
        if stage.draw.per_mille(10) {
            self.emit_worker(stage, EventType::WorkerDeleted, place);
            return self.hire(stage, place, stage.workspace);
        }
        let delay_us = off_us(stage);
        stage.after_us(delay_us, What::Worker(place, WorkerTurn::ShiftStarts));
    }

    fn pause(&mut self, stage: &mut Stage, place: u32, activity: usize, seconds: i64) {
        self.change_activity(stage, place, activity);
        let worker = &mut self.workers[place as usize];
        worker.duty = Duty::Paused;
        let turn = WorkerTurn::PauseEnds { spell: worker.spell };
        let delay_us = stage.around_us(seconds);
        stage.after_us(delay_us, What::Worker(place, turn));
    }

    fn become_idle(&mut self, stage: &mut Stage, place: u32) {
        self.change_activity(stage, place, activity::AVAILABLE);
        let worker = &mut self.workers[place as usize];
        worker.duty = Duty::Idle(stage.now_us);
        for queue in [worker.queue, OVERFLOW] {
            self.queues[queue].idle.insert((stage.now_us, place));
        }
        self.offer_work(stage, place);
    }

    fn leave_queues(&mut self, place: u32) {
        let worker = &self.workers[place as usize];
        if let Duty::Idle(since_us) = worker.duty {
            for queue in [worker.queue, OVERFLOW] {
                self.queues[queue].idle.remove(&(since_us, place));
            }
        }
    }

    fn emit_worker(&mut self, stage: &mut Stage, kind: EventType, place: u32) {
        self.workers[place as usize].version += 1;
        let mut event = stage.event(&self.sid, kind);
        event.worker = Some(self.worker_fact(place));
        stage.emit(event);
    }
}

/// Time until the next shift, such that the share of workers on shift stays what it was at the opening.
fn off_us(stage: &mut Stage) -> i64 {
    let mean_us = SHIFT_US / 2 * (1000 - ON_SHIFT_PER_MILLE as i64) / ON_SHIFT_PER_MILLE as i64;
    stage.draw.below(2 * mean_us as u64) as i64
}
