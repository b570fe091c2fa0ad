//! Taking the events out of a data directory.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{Listener, UpkeepError, told};
use crate::event::{Event, Millis, WorkspaceSid};
use crate::journal::{Found, Record, Survey};
use crate::pipeline::offline::{self, CarriedOver};
use crate::pipeline::row::{self, Entry};

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub events: u64,
    /// Events older than asked for.
    pub too_old: u64,
    /// Events of workspaces that were forgotten later.
    pub forgotten: u64,
    /// Damaged places that were passed over.
    pub skipped: u64,
    /// Workspaces of which something is carried over from rows that are gone, and so has no event to export.
    pub carried: u64,
    /// The workers and the activities that their carry-overs know; later events may name them as well.
    pub carried_workers: u64,
    pub carried_activities: u64,
}

/// Hands out every event that the log holds, in the order of acceptance: those dated at or after `oldest`, and of a
/// workspace that was forgotten those since.
///
/// # Errors
/// The first damage, unless it is to be skipped.
pub fn export(
    dir: &Path,
    oldest: Millis,
    skip_damaged: bool,
    to: &mut dyn Listener,
    sink: &mut dyn FnMut(&Event) -> io::Result<()>,
) -> Result<Exported, UpkeepError> {
    let survey = Survey::open(dir, "tasktally export")?;
    let end = survey.end().unwrap_or(0);
    let forgotten = forgotten(&survey)?;
    let mut export =
        Export { dir: dir.to_path_buf(), oldest, forgotten, skip_damaged, done: Exported::default(), to, sink };
    let mut failure = None;
    survey.rows(&mut |found| {
        let outcome = match found {
            Found::Row(record) => {
                export.to.progress(record.last(), end);
                export.row(&record)
            }
            Found::Gone { .. } => Ok(()),
            Found::Damage(damage) => {
                let words = told(&damage);
                export.skip(words, |dir| UpkeepError::Damaged { dir, damage })
            }
        };
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    export.carries(&survey)?;
    Ok(export.done)
}

/// Where each workspace was forgotten last. What is damaged is told on the second way through.
fn forgotten(survey: &Survey) -> Result<HashMap<WorkspaceSid, u64>, UpkeepError> {
    let mut forgotten = HashMap::new();
    survey.rows(&mut |found| {
        if let Found::Row(record) = found
            && record.events == 1
        {
            // A row that does not decode forgets nothing.
            let _ = row::decode(record.body, |entry, _| {
                if let Entry::Forget(workspace) = entry {
                    forgotten.insert(workspace, record.first);
                }
            });
        }
        ControlFlow::Continue(())
    })?;
    Ok(forgotten)
}

struct Export<'a> {
    dir: PathBuf,
    oldest: Millis,
    forgotten: HashMap<WorkspaceSid, u64>,
    skip_damaged: bool,
    done: Exported,
    to: &'a mut dyn Listener,
    sink: &'a mut dyn FnMut(&Event) -> io::Result<()>,
}

impl Export<'_> {
    fn row(&mut self, record: &Record<'_>) -> Result<(), UpkeepError> {
        let mut entries = Vec::with_capacity(record.events as usize);
        if let Err(damage) = row::decode(record.body, |entry, _| entries.push(entry)) {
            let (first, last, why) = (record.first, record.last(), damage.to_string());
            let words = format!("the events at positions {first} to {last} cannot be read: {why}");
            return self.skip(words, |dir| UpkeepError::Undecoded { dir, first, last, why });
        }
        for (position, entry) in (record.first..).zip(entries) {
            let Entry::Event(event) = entry else { continue };
            if self.forgotten.get(&event.workspace).is_some_and(|at| position < *at) {
                self.done.forgotten += 1;
            } else if event.at < self.oldest {
                self.done.too_old += 1;
            } else {
                (self.sink)(&event).map_err(UpkeepError::Sink)?;
                self.done.events += 1;
            }
        }
        Ok(())
    }

    fn skip(&mut self, words: String, error: impl FnOnce(PathBuf) -> UpkeepError) -> Result<(), UpkeepError> {
        if !self.skip_damaged {
            return Err(error(self.dir.clone()));
        }
        self.done.skipped += 1;
        self.to.finding(words);
        Ok(())
    }

    /// What is known of workspaces beyond the events.
    fn carries(&mut self, survey: &Survey) -> Result<(), UpkeepError> {
        survey.carries(&mut |carry| {
            let Ok(carry) = carry else { return };
            if let Ok(CarriedOver::Lasting { workers, activities }) = offline::read_carry(carry) {
                self.done.carried += 1;
                self.done.carried_workers += workers as u64;
                self.done.carried_activities += activities as u64;
            }
        })?;
        Ok(())
    }
}
