//! Looking for damage: everything that there is on disk is read and decoded, and what a start would do is tried.

use std::ops::ControlFlow;
use std::path::Path;

use super::{Listener, UpkeepError, counted, told};
use crate::event::Millis;
use crate::journal::{Found, Journal, Record, Survey, checkpoint};
use crate::pipeline::offline::{self, Snapshot};
use crate::pipeline::row;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Position of the last event; `None` where it is damaged.
    pub end: Option<u64>,
    pub rows: u64,
    /// Positions whose events could be read.
    pub safe: Vec<(u64, u64)>,
    /// Positions dropped past the retention.
    pub dropped: u64,
    /// Positions lost in an earlier accident, as the log says.
    pub lost: u64,
    pub carries: u64,
    /// The newest whole checkpoint's position.
    pub checkpoint: Option<u64>,
    /// How much is damaged.
    pub findings: u64,
    /// What a start would do, in words; an error where it would refuse.
    pub start: Result<String, String>,
}

/// Looks at everything in a data directory. What is damaged is told to the listener, and counted.
///
/// - SQLite's own check of its file; every header, range, row checksum and block; that positions have no gap; each row
///   and each carry-over decoded; each checkpoint, every section decoded.
/// - A start is tried, but that nothing is written: its checkpoint and the rows after it, or all rows.
/// - Where all that is well and there is a checkpoint, the state is derived from the log alone too, and both must give
///   the same figures at `now`: of the moment, and of the whole retention, by workspace and channel.
///
/// `retention_ms` is for a directory without a checkpoint, which says what it was written under.
///
/// # Errors
/// The directory cannot be looked at: it is not there, somebody has it, the disk refuses.
pub fn verify(dir: &Path, now: Millis, retention_ms: i64, to: &mut dyn Listener) -> Result<Report, UpkeepError> {
    let survey = Survey::open(dir, "tasktally verify")?;
    let mut look = Look { report: Report::empty(), to };
    for complaint in survey.complaints()? {
        look.damage(format!("SQLite says of its file: {complaint}"));
    }
    look.rows(&survey)?;
    look.carries(&survey)?;
    if let Some(cut) = survey.cut() {
        // What was under way when a process was killed is no damage; a whole write that is gone is.
        let words = format!("a start cuts the journal's newest bytes: {cut}");
        if cut.commits > 1 { look.damage(words) } else { look.to.finding(words) }
    }
    let snapshot = look.checkpoints(dir)?;
    let retention_ms = snapshot.as_ref().map_or(retention_ms, |snapshot| snapshot.retention_ms);
    look.report.start = match survey.into_journal() {
        Ok(journal) => look.try_start(journal, snapshot, now, retention_ms),
        Err(refused) => Err(refused.to_string()),
    };
    Ok(look.report)
}

impl Report {
    fn empty() -> Report {
        Report {
            end: None,
            rows: 0,
            safe: Vec::new(),
            dropped: 0,
            lost: 0,
            carries: 0,
            checkpoint: None,
            findings: 0,
            start: Err(String::new()),
        }
    }
}

struct Look<'a> {
    report: Report,
    to: &'a mut dyn Listener,
}

impl Look<'_> {
    fn damage(&mut self, words: String) {
        self.report.findings += 1;
        self.to.finding(words);
    }

    fn rows(&mut self, survey: &Survey) -> Result<(), UpkeepError> {
        match survey.end() {
            Ok(end) => self.report.end = Some(end),
            Err(damage) => self.damage(damage.to_string()),
        }
        let end = self.report.end.unwrap_or(0);
        survey.rows(&mut |found| {
            match found {
                Found::Row(record) => {
                    self.row(&record);
                    self.to.progress(record.last(), end);
                }
                Found::Gone { first, last, lost } => {
                    let positions = last - first + 1;
                    *if lost { &mut self.report.lost } else { &mut self.report.dropped } += positions;
                }
                Found::Damage(damage) => self.damage(told(&damage)),
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    fn row(&mut self, record: &Record<'_>) {
        self.report.rows += 1;
        let (first, last) = (record.first, record.last());
        let mut entries = 0;
        let read = row::decode(record.body, |_, _| entries += 1);
        let fault = match read {
            Err(damage) => damage.to_string(),
            Ok(()) if entries != record.events => format!("it holds {entries} of {} entries", record.events),
            Ok(()) => return self.add_safe(first, last),
        };
        self.damage(format!("the row of positions {first} to {last} cannot be read: {fault}"));
    }

    fn add_safe(&mut self, first: u64, last: u64) {
        match self.report.safe.last_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => self.report.safe.push((first, last)),
        }
    }

    fn carries(&mut self, survey: &Survey) -> Result<(), UpkeepError> {
        survey.carries(&mut |carry| match carry {
            Ok(carry) => {
                self.report.carries += 1;
                if let Err(why) = offline::read_carry(carry) {
                    self.damage(format!("the carry-over \"{}\" cannot be read: {why}", carry.key.escape_ascii()));
                }
            }
            Err(damage) => self.damage(damage.to_string()),
        })?;
        Ok(())
    }

    /// Reads every checkpoint, and answers the one that a start would take.
    fn checkpoints(&mut self, dir: &Path) -> Result<Option<Snapshot>, UpkeepError> {
        let candidates = checkpoint::survey(dir).map_err(UpkeepError::Checkpoint)?;
        let mut newest = None;
        for candidate in candidates {
            let name = candidate.path.display();
            match candidate.checkpoint {
                Ok(checkpoint) => match Snapshot::read(checkpoint) {
                    Ok(snapshot) if newest.is_none() => newest = Some(snapshot),
                    Ok(_) => {}
                    Err(why) => self.damage(format!("{name} cannot be read: {why}")),
                },
                Err(flaw) => self.damage(format!("{name} is damaged: {flaw}")),
            }
        }
        self.report.checkpoint = newest.as_ref().map(|snapshot| snapshot.position);
        Ok(newest)
    }

    fn try_start(
        &mut self,
        mut journal: Journal,
        snapshot: Option<Snapshot>,
        now: Millis,
        retention_ms: i64,
    ) -> Result<String, String> {
        let end = journal.end();
        let snapshot = match snapshot {
            Some(snapshot) if snapshot.position > end => {
                let at = snapshot.position;
                self.damage(format!("the journal ends at position {end}, the checkpoint at {at}: its end is lost"));
                None
            }
            snapshot => snapshot,
        };
        let Some(snapshot) = snapshot else {
            let state = offline::derive(&mut journal, retention_ms).map_err(|error| error.to_string())?;
            return Ok(format!("reads all rows: {}", counted(state.workspaces.len() as u64, "workspace")));
        };
        let position = snapshot.position;
        let mut state = snapshot.catch_up(&mut journal).map_err(|error| error.to_string())?;
        let words = format!(
            "takes the checkpoint of position {position} and {} after it: {}",
            counted(state.replayed, "event"),
            counted(state.workspaces.len() as u64, "workspace")
        );
        if self.report.findings > 0 {
            return Ok(words);
        }
        let mut derived = offline::derive(&mut journal, retention_ms).map_err(|error| error.to_string())?;
        for difference in offline::differences(&mut state, &mut derived, now, retention_ms) {
            self.damage(format!("the checkpoint (first) and the log (second) do not agree: {difference}"));
        }
        Ok(words)
    }
}
