//! The one writer of the journal, whose commits give the positions that revisions are made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};
use tokio::sync::watch;

use super::ask::IngestError;
use super::clock::Clock;
use super::copying::{Copies, CopyMessage};
use super::counted::Commits;
use super::group::LoggedRow;
use super::machine::{Step, Work};
use super::passed::Passed;
use super::space::Space;
use super::store::{Chore, Store};
use crate::journal::{AppendError, Journal, Row};
use crate::limits;
use crate::trace::passage::Append;

/// How long a caller should wait before it tries again while the journal cannot be written.
const RETRY_AFTER_MS: u64 = limits::UNAVAILABLE_RETRY_DELAY.as_millis() as u64;
/// How often an unwritable journal is tried.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// What a partition hears of each group commit.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The partition's group is on disk; the journal now ends here.
    Synced { end: u64, append: Append },
    /// A commit without anything of this partition, which must hear of it ([`Passed::skip`]).
    Passed { end: u64 },
    /// Nothing of the partition's group is in the journal, or (when the journal is lost) it is not known.
    Failed { error: IngestError },
}

/// Whether the journal can take events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalHealth {
    Writable,
    /// Rolled back and whole; it is tried again each second.
    Unwritable(Arc<str>),
    /// A sync failed, it is not known what is on disk, or the owner of a partition is gone: the process must end.
    Lost(Arc<str>),
}

/// To one partition.
pub struct Line {
    pub verdicts: Sender<Verdict>,
    pub passed: Arc<Passed>,
    /// The end of the last commit with something of it.
    pub told: u64,
}

/// What the writer is connected to.
pub struct Desk {
    /// With the number of the partition; each has at most one on its way.
    pub rows: Receiver<(usize, LoggedRow)>,
    /// By the number of the partition.
    pub lines: Vec<Line>,
    pub chores: Receiver<Chore>,
    pub copies: Receiver<CopyMessage>,
    pub health: watch::Sender<JournalHealth>,
    /// `None` where nobody looks after the disk.
    pub space: Option<Space>,
    /// Set when the journal has rows that may be dropped, for the keeper to see.
    pub droppable: Arc<AtomicBool>,
}

/// Everything that is done to the journal, but waiting.
pub struct Writer {
    store: Box<dyn Store>,
    desk: Desk,
    copies: Copies,
    clock: Arc<dyn Clock>,
    /// In the clock's uptime.
    probe_at: Duration,
    /// Whether the journal itself could not be written when that was last tried.
    refused: bool,
    /// Why nothing is to be written although the journal could be.
    short: Option<Arc<str>>,
    commits: Arc<Commits>,
}

impl Writer {
    pub fn new(store: Box<dyn Store>, desk: Desk, clock: Arc<dyn Clock>) -> Writer {
        let probe_at = clock.uptime();
        let (copies, commits) = (Copies::default(), Arc::default());
        Writer { store, desk, copies, clock, probe_at, refused: false, short: None, commits }
    }

    /// What it counts of its work.
    pub fn commits(&self) -> Arc<Commits> {
        self.commits.clone()
    }

    /// Commits what is ready, and does one slice of what is to be done besides. Over once every partition is gone.
    pub fn step(&mut self) -> Step {
        match self.desk.rows.try_recv() {
            Ok(first) => self.commit(first),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Step::Over,
        }
        let uptime = self.clock.uptime();
        self.look_at_space(uptime);
        if self.refused && uptime >= self.probe_at {
            self.probe_at = uptime + PROBE_EVERY;
            let outcome = self.store.probe();
            self.note(&outcome);
        }
        // A piece of a copy, between two groups.
        let copied =
            self.desk.copies.try_recv().map(|message| self.copies.serve(message, self.store.journal(), uptime));
        // Chores go in slices, between groups; without a chore under way there is nothing to hurry for.
        if self.do_chores() || copied.is_ok() { Step::Busy(Work::Chore) } else { Step::Idle(PROBE_EVERY) }
    }

    /// Blocks until there may be a row, or for so long.
    pub fn wait(&self, at_most: Duration) {
        let mut select = Select::new();
        select.recv(&self.desk.rows);
        select.recv(&self.desk.copies);
        let _ = select.ready_timeout(at_most);
    }

    /// One group commit: this row, and one of each other partition that has one ready.
    fn commit(&mut self, first: (usize, LoggedRow)) {
        let ready: Vec<(usize, LoggedRow)> = std::iter::once(first).chain(self.desk.rows.try_iter()).collect();
        let rows: Vec<Row<'_>> = ready.iter().map(|(_, row)| row.as_row()).collect();
        let (outcome, append) = self.append(&rows);
        self.note(&outcome);
        if outcome.is_ok() && rows.iter().any(|row| row.ends.is_some()) {
            self.copies.forgotten();
        }
        for (number, line) in self.desk.lines.iter_mut().enumerate() {
            let took_part = ready.iter().any(|(partition, _)| *partition == number);
            let verdict = match &outcome {
                Ok(end) if took_part => {
                    line.told = *end;
                    Verdict::Synced { end: *end, append }
                }
                Ok(end) if line.passed.skip(line.told, *end) => continue,
                Ok(end) => Verdict::Passed { end: *end },
                Err(_) if !took_part => continue,
                Err(AppendError::Refused { cause }) => Verdict::Failed { error: unwritable(cause.to_string().into()) },
                Err(AppendError::Damaged(damage)) => Verdict::Failed { error: unwritable(damage.to_string().into()) },
                Err(AppendError::Lost { .. }) => Verdict::Failed { error: IngestError::Stopping },
            };
            // A partition's thread that is gone needs no verdict.
            let _ = line.verdicts.send(verdict);
        }
    }

    fn append(&mut self, rows: &[Row<'_>]) -> (Result<u64, AppendError>, Append) {
        let begun = Instant::now();
        let outcome = self.store.append(rows);
        let (ended, events) = (Instant::now(), rows.iter().map(|row| u64::from(row.events)).sum());
        match &outcome {
            Ok(_) => {
                self.commits.events.note(events);
                self.commits.took_us.note((ended - begun).as_micros() as u64);
            }
            Err(_) => {
                self.commits.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        (outcome, Append { begun, ended, events })
    }

    fn note<T>(&mut self, outcome: &Result<T, AppendError>) {
        self.refused = matches!(outcome, Err(AppendError::Refused { .. } | AppendError::Damaged(_)));
        let health = match outcome {
            Ok(_) => self.writable(),
            Err(AppendError::Refused { cause }) => JournalHealth::Unwritable(cause.to_string().into()),
            Err(AppendError::Lost { cause }) => JournalHealth::Lost(cause.to_string().into()),
            // Another process would meet the same, and could not even answer questions: this one knows what the rows say.
            Err(AppendError::Damaged(damage)) => JournalHealth::Unwritable(damage.to_string().into()),
        };
        self.tell(health);
    }

    /// What was acknowledged before the disk ran short is still committed, and old rows are dropped: only nothing new is
    /// taken.
    fn look_at_space(&mut self, uptime: Duration) {
        let Some(short) = self.desk.space.as_mut().and_then(|space| space.look(uptime)) else { return };
        if short.is_some() == self.short.is_some() {
            return;
        }
        self.short = short.map(Arc::from);
        if !self.refused {
            self.tell(self.writable());
        }
    }

    fn writable(&self) -> JournalHealth {
        self.short.clone().map_or(JournalHealth::Writable, JournalHealth::Unwritable)
    }

    fn tell(&self, health: JournalHealth) {
        self.desk.health.send_if_modified(|held| {
            let changed = *held != health && !matches!(held, JournalHealth::Lost(_));
            if changed {
                match &health {
                    JournalHealth::Writable => tracing::info!("the journal can be written again"),
                    JournalHealth::Unwritable(cause) => tracing::error!(%cause, "the journal cannot be written"),
                    JournalHealth::Lost(cause) => tracing::error!(%cause, "the journal is lost; stopping"),
                }
                *held = health;
            }
            changed
        });
    }

    /// One slice of what is to be done besides; answers whether there is more.
    fn do_chores(&mut self) -> bool {
        if self.refused || matches!(*self.desk.health.borrow(), JournalHealth::Lost(_)) {
            return false;
        }
        if self.copies.hold(self.clock.uptime()) {
            let outcome = self.store.journal().map_or(Ok(()), Journal::tidy);
            self.note(&outcome);
            return false;
        }
        while let Ok(chore) = self.desk.chores.try_recv() {
            self.store.take_chore(chore);
        }
        let outcome = self.store.do_slice(self.clock.now(), self.clock.uptime());
        self.note(&outcome);
        let Ok(slice) = outcome else { return false };
        if slice.old_rows {
            self.desk.droppable.store(true, Ordering::Relaxed);
        }
        slice.more
    }
}

/// What a caller is told while the journal cannot be written.
pub fn unwritable(cause: Arc<str>) -> IngestError {
    IngestError::Unwritable { cause, retry_after_ms: RETRY_AFTER_MS }
}
