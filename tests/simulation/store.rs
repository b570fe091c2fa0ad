//! A journal's store that fails when it is told to, and notes what it was asked.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tasktally::event::Millis;
use tasktally::journal::{AppendError, Cause, Row};
use tasktally::pipeline::{Chore, JournalStore, Slice, Store};

use super::plan::Fault;

/// What is between the store and the one who watches it.
#[derive(Default)]
pub struct Tape {
    pub noted: Vec<Noted>,
    pub fault: Option<Fault>,
    /// Trials that are to fail.
    failing: u32,
    lost: bool,
}

/// What the store was asked, and what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    Append { rows: usize, said: Said, written: bool },
    Probe(Said),
    Slice(Said),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Done(u64),
    Refused,
    Lost,
}

pub struct FaultyStore {
    inner: JournalStore,
    tape: Arc<Mutex<Tape>>,
}

impl FaultyStore {
    pub fn new(inner: JournalStore, tape: Arc<Mutex<Tape>>) -> FaultyStore {
        *tape.lock().expect("nobody panics with it") = Tape::default();
        FaultyStore { inner, tape }
    }
}

fn said<T>(outcome: &Result<T, AppendError>, done: impl Fn(&T) -> u64) -> Said {
    match outcome {
        Ok(value) => Said::Done(done(value)),
        Err(AppendError::Refused { .. } | AppendError::Damaged(_)) => Said::Refused,
        Err(AppendError::Lost { .. }) => Said::Lost,
    }
}

fn refused<T>() -> Result<T, AppendError> {
    Err(AppendError::Refused { cause: Cause::Io { doing: "write", source: io::Error::other("no room in this dream") } })
}

fn lost<T>() -> Result<T, AppendError> {
    Err(AppendError::Lost { cause: Cause::Earlier })
}

impl Store for FaultyStore {
    fn end(&self) -> u64 {
        self.inner.end()
    }

    fn append(&mut self, rows: &[Row<'_>]) -> Result<u64, AppendError> {
        let mut tape = self.tape.lock().expect("nobody panics with it");
        let (outcome, written) = if tape.lost {
            (lost(), false)
        } else {
            match tape.fault.take_if(|fault| *fault != Fault::RefuseSlice) {
                None => {
                    let outcome = self.inner.append(rows);
                    let written = outcome.is_ok();
                    (outcome, written)
                }
                Some(Fault::Lose { written }) => {
                    tape.lost = true;
                    if written {
                        self.inner.append(rows).expect("the disk is sound");
                    }
                    (lost(), written)
                }
                Some(Fault::Refuse(trials)) => {
                    tape.failing = trials;
                    (refused(), false)
                }
                Some(Fault::RefuseSlice) => unreachable!("it stays for the next slice"),
            }
        };
        let said = said(&outcome, |end| *end);
        tape.noted.push(Noted::Append { rows: rows.len(), said, written });
        outcome
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        let mut tape = self.tape.lock().expect("nobody panics with it");
        let outcome = if tape.failing > 0 {
            tape.failing -= 1;
            refused()
        } else {
            self.inner.probe()
        };
        tape.noted.push(Noted::Probe(said(&outcome, |()| 0)));
        outcome
    }

    fn take_chore(&mut self, chore: Chore) {
        self.inner.take_chore(chore);
    }

    fn do_slice(&mut self, now: Millis, uptime: Duration) -> Result<Slice, AppendError> {
        let mut tape = self.tape.lock().expect("nobody panics with it");
        let outcome = match tape.fault.take_if(|fault| *fault == Fault::RefuseSlice) {
            Some(_) => refused(),
            None => self.inner.do_slice(now, uptime),
        };
        tape.noted.push(Noted::Slice(said(&outcome, |slice| u64::from(slice.more))));
        outcome
    }
}
