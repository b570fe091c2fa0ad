//! What must hold of what a kill or a power cut left: all that was acknowledged is there; of what was not, each call's
//! share of a workspace is there whole or not at all, and none before an earlier one; every statistic is the model's; and
//! it goes on: what is sent again is taken or known, as the model says, and stays.

use tasktally::event::{Event, Millis, WorkspaceSid};
use tasktally::journal::Journal;
use tasktally::journal::checkpoint::{self, Candidate};
use tasktally::pipeline::{Caller, Ingested, Patience, Recovered, recover};

use super::history::{History, RETENTION_MS, START_MS};
use super::life::open;
use crate::faults::scratch;
use crate::faults::trace::{Image, Kind, Record, lay_out};
use crate::support::bench::{HandClock, figures, refusal_of, runtime, settings};
use crate::support::build;
use crate::support::model::{Model, Outcome};
use crate::support::random::{Ask, WORKSPACES};

/// What is known of the calls, from the marks of a trace.
#[derive(Clone, Debug)]
pub struct Known {
    pub now: i64,
    /// In the order of first sending: number, the clock then, whether it was acknowledged.
    sent: Vec<(usize, i64, bool)>,
    /// Whether the process came to its end.
    pub ended: bool,
    /// The newest checkpoint that was written to the end.
    kept: u64,
    /// Blocks made; events dropped and carry-overs there in the end.
    pub compressed: u64,
    pub dropped: i64,
    pub carried: i64,
}

impl Known {
    pub fn nothing() -> Known {
        Known { now: START_MS, sent: Vec::new(), ended: false, kept: 0, compressed: 0, dropped: 0, carried: 0 }
    }

    pub fn take(&mut self, record: &Record) {
        if record.kind != Kind::Mark {
            return;
        }
        let (what, number) = record.text().split_once(' ').unwrap_or((record.text(), "0"));
        let number: i64 = number.parse().expect("a number");
        match what {
            "clock" => self.now = number,
            "sent" if self.sent.iter().any(|(call, ..)| *call == number as usize) => {}
            "sent" => self.sent.push((number as usize, self.now, false)),
            "done" => {
                let call = self.sent.iter_mut().find(|(call, ..)| *call == number as usize);
                call.expect("it was sent before it was done").2 = true;
            }
            "end" => self.ended = true,
            "compressed" => self.compressed += 1,
            "dropped" => self.dropped = number,
            "carried" => self.carried = number,
            "kept" => self.kept = number as u64,
            "up" => {}
            other => panic!("a mark {other}"),
        }
    }

    /// The calls of which nobody knows.
    pub fn pending(&self) -> Vec<usize> {
        self.sent.iter().filter(|(.., done)| !done).map(|(call, ..)| *call).collect()
    }
}

/// Panics with what is wrong; `what` says where the image comes from.
pub fn judge(history: &History, known: &Known, image: &Image, what: &str) {
    let dir = scratch();
    lay_out(image, dir.path());
    judge_folder(history, known, dir.path(), what);
}

/// The same without checkpoints: the log alone must do.
pub fn judge_log(history: &History, known: &Known, mut image: Image, what: &str) {
    image.retain(|name, _| !name.starts_with("checkpoint-"));
    let dir = scratch();
    lay_out(&image, dir.path());
    judge_state(history, known, dir.path(), &format!("{what}, without checkpoints"));
}

pub fn judge_folder(history: &History, known: &Known, dir: &std::path::Path, what: &str) {
    judge_checkpoints(known, dir, what);
    judge_state(history, known, dir, what);
}

/// One that has its name is whole, and one that was said to be written is there, or a newer one.
fn judge_checkpoints(known: &Known, dir: &std::path::Path, what: &str) {
    let found = checkpoint::survey(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    for Candidate { path, checkpoint, .. } in &found {
        assert!(checkpoint.is_ok(), "{what}: {}: {checkpoint:?}", path.display());
    }
    let newest = found.first().map_or(0, |found| found.position);
    assert!(newest >= known.kept, "{what}: a checkpoint at {} was written, found is one at {newest}", known.kept);
}

fn judge_state(history: &History, known: &Known, dir: &std::path::Path, what: &str) {
    let (mut recovered, end) = recovered(dir, what);
    let mut model = present(history, known, &recovered, what);
    assert_eq!(end, model.accepted.len() as u64, "{what}: one position for each event that is there");
    compare(&mut recovered, &model, known.now, what);
    drop(recovered);
    carry_on(history, known, dir, &mut model, what);
    let (mut recovered, end) = self::recovered(dir, what);
    assert_eq!(end, model.accepted.len() as u64, "{what}: after going on");
    compare(&mut recovered, &model, known.now, &format!("{what}, after going on"));
}

fn recovered(dir: &std::path::Path, what: &str) -> (Recovered, u64) {
    let (mut journal, opened) =
        Journal::open(dir, "a test").unwrap_or_else(|error| panic!("{what}: the journal does not open: {error}"));
    let recovered = recover(&mut journal, dir, &settings(RETENTION_MS, 1));
    (recovered.unwrap_or_else(|error| panic!("{what}: the journal cannot be read: {error}")), opened.end)
}

/// The model of what is there: all that was acknowledged, and what of the rest is found.
fn present(history: &History, known: &Known, recovered: &Recovered, what: &str) -> Model {
    let mut model = Model::new(RETENTION_MS);
    let mut missing: Vec<WorkspaceSid> = Vec::new();
    for (call, now, done) in &known.sent {
        let events = &history.calls[*call];
        if *done {
            for event in events {
                model.offer(event, Millis(*now));
            }
            continue;
        }
        for workspace in History::workspaces() {
            let mut with = model.clone();
            let of_workspace = events.iter().filter(|event| event.workspace == workspace);
            let new: Vec<&Event> =
                of_workspace.filter(|event| with.offer(event, Millis(*now)) == Outcome::Accepted).collect();
            let found = new.iter().filter(|event| has(recovered, event)).count();
            assert!(found == 0 || found == new.len(), "{what}: {found} of {} events of call {call}", new.len());
            if found > 0 {
                assert!(!missing.contains(&workspace), "{what}: call {call} is there, and an earlier one is not");
                model = with;
            } else if !new.is_empty() {
                missing.push(workspace);
            }
        }
    }
    model
}

fn has(recovered: &Recovered, event: &Event) -> bool {
    recovered.workspaces.get(&event.workspace).is_some_and(|state| state.has(event))
}

/// Every statistic there is to ask for at this moment.
fn compare(recovered: &mut Recovered, model: &Model, now: i64, what: &str) {
    for number in 0..=WORKSPACES {
        let sid = build::workspace(number);
        let Some(state) = recovered.workspaces.get_mut(&sid) else {
            assert_eq!(model.account(sid), None, "{what}: workspace {number} is gone");
            continue;
        };
        state.see(Millis(now));
        for ask in Ask::all_of(number) {
            let expected = model.realtime(sid, &ask.filter, Millis(now));
            let expected = expected.unwrap_or_else(|| panic!("{what}: workspace {number} should not be there"));
            assert_eq!(figures(&state.realtime(&ask.filter, Millis(now))), expected, "{what}: {ask:?}");
            let range = model.interval(ask.window(model, now), Millis(now)).expect("the retention is a window");
            let expected = model.cumulative(sid, &ask.filter, range, &ask.thresholds);
            let found = state.cumulative(&ask.filter, range, &ask.thresholds);
            assert_eq!(Some(found), expected, "{what}: {ask:?}");
        }
        assert_eq!(state.list_channels(None, usize::MAX, Millis(now)), model.channels(sid, Millis(now)), "{what}");
    }
}

/// Everything that was sent lately is sent again, and judged by the pipeline as by the model.
fn carry_on(history: &History, known: &Known, dir: &std::path::Path, model: &mut Model, what: &str) {
    let running = open(dir, HandClock::at(known.now));
    let (pipeline, runtime) = (running.pipeline.clone(), runtime());
    for (call, ..) in known.sent.iter().rev().take(5).rev() {
        let mut expected = Ingested::default();
        for (index, event) in (0..).zip(&history.calls[*call]) {
            let outcome = model.offer(event, Millis(known.now));
            expected.accepted += u64::from(outcome == Outcome::Accepted);
            expected.duplicates += u64::from(outcome == Outcome::Duplicate);
            let refusal = refusal_of(outcome, known.now, RETENTION_MS);
            expected.refused.extend(refusal.map(|refusal| (index, refusal)));
        }
        let events = (0..).zip(history.calls[*call].iter().cloned()).collect();
        let ingested = runtime.block_on(async {
            let submitted = pipeline.submit(&Caller::everything(), events, Patience::Refuse).await;
            submitted.expect("there is room").settled().await
        });
        let ingested = ingested.unwrap_or_else(|error| panic!("{what}: call {call} again: {error}"));
        assert_eq!(Ingested { revision: 0, ..ingested }, expected, "{what}: call {call} again");
    }
    running.stop();
}
