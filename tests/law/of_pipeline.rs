//! A pipeline over a journal on disk against the model.

// Longer than 400 lines because a plan, how it is drawn, run and judged are read together.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use tasktally::engine::{ChannelFilter, Realtime, WindowError, WorkspaceRow};
use tasktally::event::{Event, HOUR_MS, Millis, Second, SecondRange, WorkspaceSid};
use tasktally::journal::Journal;
use tasktally::pipeline::{
    AskError, Caller, CumulativeQuestion, ForgetError, Ingested, Patience, Pipeline, Running, Scope, SeriesQuestion,
    Stamped, Submitted, Topic, recover, start,
};

use crate::support::bench::{HandClock, figures, refusal_of, runtime, settings};
use crate::support::build::{self, Saying};
use crate::support::model::{Model, Outcome};
use crate::support::random::{self, Ask, Jump, Offer, WORKSPACES};

#[derive(Clone, Debug)]
enum Step {
    /// Calls that are submitted one after the other, none waiting for the answer of another.
    Take {
        calls: Vec<Vec<Offer>>,
        /// Whether the keeper comes round while they are under way.
        keep_meanwhile: bool,
    },
    Move(Jump),
    Ask(Ask),
    /// Takes hold of a published answer, or lets go of all.
    Hold(Ask),
    LetGo,
    /// A checkpoint, and old rows are to be dropped; at once if a group follows, or else when the next one comes.
    Keep(bool),
    /// Time for all rows that there are to grow too old; then as `Keep`.
    Age(bool),
    /// Forgets a workspace, and perhaps sends what was forgotten again, as another account's.
    Forget {
        workspace: u32,
        /// Whether the keeper has looked just before, so that what it saw is on its way to the disk.
        keep_before: bool,
        again: bool,
    },
    Restart {
        with_checkpoints: bool,
        partitions: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let call = vec(random::offer(), 0..5);
    prop_oneof![
        8 => (vec(call, 1..4), prop::bool::weighted(0.1))
            .prop_map(|(calls, keep_meanwhile)| Step::Take { calls, keep_meanwhile }),
        4 => random::jump().prop_map(Step::Move),
        6 => random::ask().prop_map(Step::Ask),
        2 => random::ask().prop_map(Step::Hold),
        1 => Just(Step::LetGo),
        2 => prop::bool::weighted(0.8).prop_map(Step::Keep),
        2 => prop::bool::weighted(0.8).prop_map(Step::Age),
        2 => (0..WORKSPACES, any::<bool>(), any::<bool>())
            .prop_map(|(workspace, keep_before, again)| Step::Forget { workspace, keep_before, again }),
        2 => (any::<bool>(), 1usize..4)
            .prop_map(|(with_checkpoints, partitions)| Step::Restart { with_checkpoints, partitions }),
    ]
}

/// A call that is under way.
struct Sent {
    submitted: Submitted,
    expected: Ingested,
    workspaces: Vec<WorkspaceSid>,
}

#[derive(Default, Debug)]
struct Seen {
    accepted: u64,
    duplicates: u64,
    refused: u64,
    mismatches: u64,
    restarts: u64,
    replayed: u64,
    rows_dropped: u64,
    forgotten: u64,
    begun_anew: u64,
    shown: u64,
    counted: u64,
    buckets: u64,
}

struct Trial {
    now: i64,
    clock: Arc<HandClock>,
    model: Model,
    dir: tempfile::TempDir,
    partitions: usize,
    running: Option<Running>,
    runtime: tokio::runtime::Runtime,
    held: Vec<Arc<Topic>>,
    /// Whether the keeper has asked for something that the journal may not have taken up yet.
    chore_waits: bool,
    /// Of each workspace: the last revision seen, and how often it was forgotten and the number of its accepted events
    /// since then that it stood for.
    revisions: BTreeMap<WorkspaceSid, (i64, (u64, usize))>,
    lives: BTreeMap<WorkspaceSid, u64>,
    /// One for each event that was ever accepted, and for each workspace forgotten.
    positions: u64,
}

impl Trial {
    fn new(retention_ms: i64, now: i64, partitions: usize) -> Trial {
        // In memory where there is such a place: what a sync costs is no matter here.
        let shared_memory = Path::new("/dev/shm");
        let dir = if shared_memory.is_dir() { tempfile::tempdir_in(shared_memory) } else { tempfile::tempdir() };
        let mut trial = Trial {
            now,
            clock: HandClock::at(now),
            model: Model::new(retention_ms),
            dir: dir.expect("a temporary directory"),
            partitions,
            running: None,
            runtime: runtime(),
            held: Vec::new(),
            chore_waits: false,
            revisions: BTreeMap::new(),
            lives: BTreeMap::new(),
            positions: 0,
        };
        trial.start(&mut Seen::default());
        trial
    }

    fn start(&mut self, seen: &mut Seen) {
        let settings = settings(self.model.retention_ms, self.partitions);
        let (mut journal, opened) = Journal::open(self.dir.path(), "a test").expect("the journal opens");
        assert_eq!(opened.end, self.positions, "one position for each accepted event, and for what forgets");
        assert!(opened.rows <= opened.end);
        let recovered = recover(&mut journal, self.dir.path(), &settings).expect("the journal can be read");
        seen.replayed += recovered.replayed;
        let mut held = 0;
        journal
            .read(0, &mut |record| {
                held += u64::from(record.events);
                std::ops::ControlFlow::Continue(())
            })
            .expect("the journal can be read");
        seen.rows_dropped += u64::from(held < opened.end);
        self.running = Some(
            start(settings, self.clock.clone(), journal, recovered, self.dir.path(), Pipeline::default())
                .expect("threads start"),
        );
    }

    fn stop(&mut self) {
        self.held.clear();
        self.chore_waits = false;
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    fn pipeline(&self) -> Pipeline {
        self.running.as_ref().expect("it runs").pipeline.clone()
    }

    fn carry_out(&mut self, step: &Step, seen: &mut Seen) {
        match step {
            Step::Take { calls, keep_meanwhile } => self.take(calls, *keep_meanwhile, seen),
            Step::Move(jump) => self.move_to(jump.resolve(&self.model, self.now)),
            Step::Ask(ask) => {
                self.ask(ask, seen);
                self.check_lists(build::workspace(ask.workspace));
            }
            Step::Hold(ask) => self.hold(ask),
            Step::LetGo => self.held.clear(),
            Step::Keep(at_once) => self.keep(*at_once, seen),
            Step::Age(at_once) => {
                self.move_to(self.now + self.model.retention_ms + HOUR_MS + 300_001);
                self.keep(*at_once, seen);
            }
            Step::Forget { workspace, keep_before, again } => {
                self.forget(build::workspace(*workspace), *keep_before, *again, seen);
            }
            Step::Restart { with_checkpoints, partitions } => {
                self.stop();
                if !with_checkpoints {
                    remove_checkpoints(self.dir.path());
                }
                self.partitions = *partitions;
                self.start(seen);
                self.ask_all(seen);
                seen.restarts += 1;
            }
        }
    }

    fn move_to(&mut self, now: i64) {
        self.now = now;
        self.clock.set(now);
        self.check_held();
    }

    fn keep(&mut self, at_once: bool, seen: &mut Seen) {
        if self.chore_waits {
            self.send_nothing(seen);
        }
        self.run_keeper();
        if at_once {
            self.send_nothing(seen);
        }
    }

    /// A group, after which the journal takes up its chores.
    fn send_nothing(&mut self, seen: &mut Seen) {
        let sent = self.send(&[Offer::Nothing], seen);
        self.settle(sent, seen);
        self.chore_waits = false;
    }

    /// Waits for up to a second where a chore waits already.
    fn run_keeper(&mut self) {
        self.chore_waits = true;
        let keeper = self.running.as_mut().and_then(|running| running.keeper.as_mut());
        let keeper = keeper.expect("a journal has a keeper");
        keeper.expect_old_rows();
        keeper.run_once(Millis(self.now)).expect("the disk is sound");
    }

    fn take(&mut self, calls: &[Vec<Offer>], keep_meanwhile: bool, seen: &mut Seen) {
        let mut sent = Vec::new();
        for call in calls {
            sent.push(self.send(call, seen));
        }
        if keep_meanwhile && !self.chore_waits {
            self.run_keeper();
        }
        let mut touched: Vec<(WorkspaceSid, i64)> = Vec::new();
        for call in sent {
            let workspaces = call.workspaces.clone();
            let revision = self.settle(call, seen);
            touched.extend(workspaces.into_iter().map(|workspace| (workspace, revision)));
        }
        // Between two calls a state may or may not have the second one in it, so all are settled before the reads.
        for (workspace, revision) in touched {
            self.check_read_after(workspace, revision);
        }
        self.check_held();
    }

    fn forget(&mut self, sid: WorkspaceSid, keep_before: bool, again: bool, seen: &mut Seen) {
        let (pipeline, unknown) = (self.pipeline(), Err(ForgetError::Ask(AskError::UnknownWorkspace)));
        let stranger = Caller { scope: Scope::Account(build::sid(99)), ..Caller::everything() };
        assert_eq!(self.runtime.block_on(pipeline.forget(&stranger, sid)), unknown);
        if keep_before && !self.chore_waits {
            self.run_keeper();
        }
        let outcome = self.runtime.block_on(pipeline.forget(&Caller::everything(), sid));
        if self.model.account(sid).is_none() {
            return assert_eq!(outcome, unknown);
        }
        let revision = outcome.expect("nothing fails");
        self.positions += 1;
        self.chore_waits = false;
        seen.forgotten += 1;
        *self.lives.entry(sid).or_default() += 1;
        let events = self.model.forget(sid);
        self.check_revision(sid, revision);
        let (ended, held) = self.held.drain(..).partition(|topic| topic.workspace == sid);
        self.held = held;
        assert!(ended.into_iter().all(|topic: Arc<Topic>| topic.has_ended()), "whoever watches hears of it");
        assert_eq!(self.runtime.block_on(pipeline.forget(&Caller::everything(), sid)), unknown, "it is gone already");
        for ask in Ask::all_of(u32::from_be_bytes(sid.as_bytes()[12..].try_into().expect("four bytes"))) {
            self.ask(&ask, seen);
        }
        self.check_lists(sid);
        if again {
            let sent = self.submit(events, |event, _, _| event.account(77), seen);
            seen.begun_anew += sent.expected.accepted;
            let revision = self.settle(sent, seen);
            self.check_read_after(sid, revision);
        }
    }

    fn send(&mut self, offers: &[Offer], seen: &mut Seen) -> Sent {
        self.submit(offers, |offer, model, now| offer.resolve(model, now), seen)
    }

    /// One after the other, since what one resolves to may hang on those before it.
    fn submit<T>(
        &mut self,
        offered: impl IntoIterator<Item = T>,
        resolve: impl Fn(T, &Model, i64) -> Event,
        seen: &mut Seen,
    ) -> Sent {
        let mut expected = Ingested::default();
        let mut events: Vec<(u32, Event)> = Vec::new();
        for (index, offer) in (0..).zip(offered) {
            let event = resolve(offer, &self.model, self.now);
            let outcome = self.model.offer(&event, Millis(self.now));
            self.positions += u64::from(outcome == Outcome::Accepted);
            expected.accepted += u64::from(outcome == Outcome::Accepted);
            expected.duplicates += u64::from(outcome == Outcome::Duplicate);
            seen.mismatches += u64::from(outcome == Outcome::AccountMismatch);
            let refusal = refusal_of(outcome, self.now, self.model.retention_ms);
            expected.refused.extend(refusal.map(|refusal| (index, refusal)));
            events.push((index, event));
        }
        let workspaces = events.iter().map(|(_, event)| event.workspace).collect();
        let submitted = self.runtime.block_on(self.pipeline().submit(&Caller::everything(), events, Patience::Refuse));
        Sent { submitted: submitted.expect("there is room"), expected, workspaces }
    }

    /// Answers the revision.
    fn settle(&mut self, sent: Sent, seen: &mut Seen) -> i64 {
        let ingested = self.runtime.block_on(sent.submitted.settled()).expect("nothing fails");
        seen.accepted += ingested.accepted;
        seen.duplicates += ingested.duplicates;
        seen.refused += ingested.refused.len() as u64;
        let revision = ingested.revision;
        assert_eq!(ingested, Ingested { revision, ..sent.expected }, "a call at {}", self.now);
        assert!(revision <= self.positions as i64, "{revision} is ahead of the journal");
        revision
    }

    /// A read of a workspace that a call concerned, sent after its answer, has at least the answer's revision.
    fn check_read_after(&mut self, workspace: WorkspaceSid, revision: i64) {
        let read = self.pipeline();
        let read = self.runtime.block_on(read.realtime(&Caller::everything(), workspace, &ChannelFilter::All));
        match read {
            Ok(stamped) => {
                assert!(stamped.revision >= revision, "read {} after an ingest answered {revision}", stamped.revision);
                self.check_revision(workspace, stamped.revision);
            }
            Err(error) => {
                assert_eq!(error, AskError::UnknownWorkspace);
                assert_eq!(self.model.account(workspace), None);
            }
        }
    }

    /// Never back, and never one number for two states.
    fn check_revision(&mut self, workspace: WorkspaceSid, revision: i64) {
        let events = self.model.accepted.iter().filter(|event| event.workspace == workspace).count();
        let state = (self.lives.get(&workspace).copied().unwrap_or_default(), events);
        if let Some((before, state_before)) = self.revisions.insert(workspace, (revision, state)) {
            assert!(revision >= before, "{workspace}: revision {revision} after {before}");
            if revision == before {
                assert_eq!(state, state_before, "{workspace}: two states have revision {revision}");
            }
        }
    }

    fn ask(&mut self, ask: &Ask, seen: &mut Seen) {
        let (pipeline, now, sid) = (self.pipeline(), self.now, build::workspace(ask.workspace));
        let caller = Caller::everything();
        let realtime = self.runtime.block_on(pipeline.realtime(&caller, sid, &ask.filter));
        let expected = self.model.realtime(sid, &ask.filter, Millis(now)).ok_or(AskError::UnknownWorkspace);
        let stamps = realtime.as_ref().ok().map(|stamped| (stamped.revision, stamped.as_of));
        assert_eq!(realtime.map(|stamped| figures(&stamped.answer)), expected, "at {now}, {ask:?}");
        if let Some((revision, as_of)) = stamps {
            assert_eq!(as_of, Millis(now));
            self.check_revision(sid, revision);
            seen.shown += 1;
        }

        let window = ask.window(&self.model, now);
        let question =
            CumulativeQuestion { channel: ask.filter.clone(), window, thresholds: ask.thresholds.clone().into() };
        // A bad request comes before an unknown workspace, and that before a window that is too old.
        let expected_cumulative = match (self.model.interval(window, Millis(now)), &expected) {
            (Err(empty @ WindowError::Empty { .. }), _) => Err(empty.into()),
            (_, Err(unknown)) => Err(unknown.clone()),
            (Err(too_old), _) => Err(too_old.into()),
            (Ok(range), Ok(_)) => {
                Ok(self.model.cumulative(sid, &ask.filter, range, &ask.thresholds).expect("the workspace is known"))
            }
        };
        let cumulative = self.runtime.block_on(pipeline.cumulative(&caller, sid, question.clone()));
        assert_eq!(cumulative.map(|stamped| stamped.answer), expected_cumulative, "at {now}, {ask:?}");

        self.ask_series(sid, &question, &expected, seen);
        let both = self.runtime.block_on(pipeline.statistics(&caller, sid, question));
        match (both, expected, expected_cumulative) {
            (Ok(Stamped { revision, as_of, answer: (realtime, cumulative) }), Ok(first), Ok(second)) => {
                assert_eq!((figures(&realtime), &cumulative, as_of), (first, &second, Millis(now)), "{ask:?}");
                self.check_revision(sid, revision);
                seen.counted += cumulative.totals.counts.iter().sum::<u64>();
            }
            (both, _, second) => assert_eq!(both.err(), second.err(), "{ask:?}"),
        }
    }

    /// Bucket by bucket: of buckets that are too short, of the shortest that fit where there are few, and of long ones.
    fn ask_series(
        &mut self,
        sid: WorkspaceSid,
        of: &CumulativeQuestion,
        known: &Result<Realtime, AskError>,
        seen: &mut Seen,
    ) {
        let (pipeline, now) = (self.pipeline(), Millis(self.now));
        let seconds = of.window.interval(now).map_or(0, |range| range.seconds());
        for parts in [1001, 4, 1] {
            let bucket_s = (seconds / parts).max(1);
            let question = SeriesQuestion { of: of.clone(), bucket_s };
            let answer = self.runtime.block_on(pipeline.series(&Caller::everything(), sid, question));
            let expected = match (self.model.interval(of.window, now), known) {
                (Err(empty @ WindowError::Empty { .. }), _) => Err(empty.into()),
                (Ok(_), _) if seconds > 1000 * bucket_s => {
                    Err(AskError::TooManyBuckets { least_s: (seconds + 999) / 1000 })
                }
                (_, Err(unknown)) => Err(unknown.clone()),
                (Err(too_old), _) => Err(too_old.into()),
                (Ok(range), Ok(_)) => {
                    let (start, end) = (range.start().0, range.end().0);
                    let starts = (start..end).step_by(bucket_s as usize);
                    let buckets =
                        starts.map(|at| SecondRange::new(Second(at), Second(end.min(at + bucket_s))).unwrap());
                    let one = |bucket| self.model.cumulative(sid, &of.channel, bucket, &of.thresholds);
                    Ok(buckets.map(|bucket| one(bucket).expect("the workspace is known")).collect::<Vec<_>>())
                }
            };
            if let Ok(Stamped { revision, as_of, answer }) = &answer {
                assert_eq!(*as_of, now);
                self.check_revision(sid, *revision);
                seen.buckets += answer.len() as u64;
            }
            assert_eq!(answer.map(|stamped| stamped.answer), expected, "at {now:?}, {of:?} by {bucket_s} s");
        }
    }

    /// Everything that there is to ask about this moment.
    fn ask_all(&mut self, seen: &mut Seen) {
        for workspace in 0..=WORKSPACES {
            for ask in Ask::all_of(workspace) {
                self.ask(&ask, seen);
            }
            self.check_lists(build::workspace(workspace));
        }
    }

    fn check_lists(&mut self, sid: WorkspaceSid) {
        let pipeline = self.pipeline();
        let caller = Caller::everything();
        let all = self.model.workspaces();
        let rows: Vec<WorkspaceRow> =
            all.iter().map(|(workspace, account)| WorkspaceRow { workspace: *workspace, account: *account }).collect();
        let listed = self.runtime.block_on(pipeline.workspaces(&caller, None, usize::MAX));
        assert_eq!(listed, Ok(rows.clone()));
        let page = self.runtime.block_on(pipeline.workspaces(&caller, Some(sid), 1));
        assert_eq!(page, Ok(rows.into_iter().filter(|row| row.workspace > sid).take(1).collect()));

        let mine = all.get(&sid).copied().ok_or(AskError::UnknownWorkspace);
        let channels = mine.clone().map(|_| self.model.channels(sid, Millis(self.now)));
        let listed = self.runtime.block_on(pipeline.channels(&caller, sid, None, usize::MAX));
        assert_eq!(listed, channels);
        let page = self.runtime.block_on(pipeline.channels(&caller, sid, Some("chat"), 1));
        let later = |rows: Vec<tasktally::engine::ChannelRow>| {
            rows.into_iter().filter(|row| row.unique_name.as_bytes() > "chat".as_bytes()).take(1).collect()
        };
        assert_eq!(page, channels.map(later));

        // Another account sees nothing of it, not even that it is there.
        let stranger = Caller { scope: Scope::Account(build::sid(99)), ..Caller::everything() };
        let read = self.runtime.block_on(pipeline.realtime(&stranger, sid, &ChannelFilter::All));
        assert_eq!(read.err(), Some(AskError::UnknownWorkspace));
        if let Ok(account) = mine {
            let owner = Caller { scope: Scope::Account(account), ..Caller::everything() };
            let read = self.runtime.block_on(pipeline.realtime(&owner, sid, &ChannelFilter::All));
            let expected = self.model.realtime(sid, &ChannelFilter::All, Millis(self.now));
            assert_eq!(read.ok().map(|stamped| figures(&stamped.answer)), expected);
        }
    }

    fn hold(&mut self, ask: &Ask) {
        let sid = build::workspace(ask.workspace);
        let topic = self.pipeline();
        let topic = self.runtime.block_on(topic.topic(&Caller::everything(), sid, &ask.filter));
        match topic {
            Ok(topic) => {
                assert_eq!(topic.latest().as_of, Millis(self.now), "a first message is never older than the call");
                self.held.push(topic);
            }
            Err(error) => assert_eq!(error, AskError::UnknownWorkspace),
        }
        self.check_held();
    }

    /// What is published is true of the moment that it names, and has all that was acknowledged.
    fn check_held(&mut self) {
        for topic in self.held.clone() {
            let Stamped { revision, as_of, answer } = topic.latest();
            assert!(as_of.0 <= self.now, "as of {as_of:?} at {}", self.now);
            let expected = self.model.realtime(topic.workspace, &topic.filter, as_of);
            assert_eq!(Some(figures(&answer)), expected, "published, as of {as_of:?} at {}", self.now);
            self.check_revision(topic.workspace, revision);
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // A failing case is tried again and again while it shrinks: its threads must not pile up.
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

fn remove_checkpoints(dir: &Path) {
    for file in std::fs::read_dir(dir).expect("the directory is there") {
        let path = file.expect("it can be read").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("checkpoint-")) {
            std::fs::remove_file(path).expect("it can be removed");
        }
    }
}

#[test]
fn restarts_checkpoints_and_partitions_never_show() {
    let seen = RefCell::new(Seen::default());
    let cases = (random::retention_ms(), random::first_moment(), 1usize..4, vec(step(), 1..40));
    let outcome = crate::runner(300).run(&cases, |(retention_ms, now, partitions, steps)| {
        let mut trial = Trial::new(retention_ms, now, partitions);
        for step in &steps {
            trial.carry_out(step, &mut seen.borrow_mut());
        }
        trial.ask_all(&mut seen.borrow_mut());
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    let Seen { accepted, duplicates, refused, mismatches, restarts, replayed, .. } = seen;
    let Seen { rows_dropped, forgotten, begun_anew, shown, counted, buckets, .. } = seen;
    for (what, times) in [
        ("accepted", accepted),
        ("duplicates", duplicates),
        ("refused", refused),
        ("account mismatches", mismatches),
        ("restarts", restarts),
        ("events replayed", replayed),
        ("restarts with rows dropped", rows_dropped),
        ("workspaces forgotten", forgotten),
        ("events sent again after it", begun_anew),
        ("real-time answers", shown),
        ("counted", counted),
        ("buckets", buckets),
    ] {
        assert!(times > 0, "{what}: never seen, so nothing was tried on it");
        println!("{what}: {times}");
    }
}
