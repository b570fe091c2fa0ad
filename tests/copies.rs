//! A copy of the journal holds compressing and pruning while it is taken, and never for longer than its bounds. On a
//! pipeline that moves step by step, so that everything happens between two pieces.

mod support;

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use support::bench::{NOON, settings};
use support::build::{HOME, event, workspace};
use tasktally::event::{DAY_MS, EventKind, HOUR_MS, Millis};
use tasktally::journal::{CopyIn, Journal};
use tasktally::limits::{BACKUP_IDLE, BACKUP_TOTAL};
use tasktally::pipeline::{
    Caller, Clock, CopyRefusal, Copying, JournalStore, Machine, Patience, Pipeline, Step, recover,
};

/// More than the time between two looks for rows to compress.
const A_WHILE: Duration = Duration::from_secs(6);

/// Stands still until it is moved.
#[derive(Default)]
struct StepClock {
    uptime_ms: AtomicU64,
}

impl StepClock {
    fn pass(&self, time: Duration) {
        self.uptime_ms.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for StepClock {
    fn now(&self) -> Millis {
        Millis(NOON)
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime_ms.load(Ordering::SeqCst))
    }
}

struct Stage {
    dir: tempfile::TempDir,
    machine: Machine,
    clock: Arc<StepClock>,
}

impl Stage {
    fn open() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(DAY_MS, 1);
        let (mut journal, _) = Journal::open(dir.path(), "a test").unwrap();
        let recovered = recover(&mut journal, dir.path(), &settings).unwrap();
        let (clock, store) = (Arc::new(StepClock::default()), Box::new(JournalStore::new(journal, DAY_MS)));
        let machine = Machine::new(settings, clock.clone(), store, recovered, dir.path(), Pipeline::default());
        let mut stage = Stage { dir, machine, clock };
        // A row each, all old enough to be compressed, more than the fullest block takes.
        for n in 0..1_100 {
            stage.take(n);
        }
        stage
    }

    fn take(&mut self, n: u32) {
        let event = event(EventKind::WorkspaceUpdated, NOON - 3 * HOUR_MS + i64::from(n));
        let pipeline = self.machine.pipeline.clone();
        let taken = self.drive(async move {
            let call = pipeline.submit(&Caller::everything(), vec![(0, event)], Patience::Refuse).await;
            call.unwrap().settled().await.unwrap()
        });
        assert_eq!(taken.accepted, 1);
    }

    /// Moves everything on until the future is done.
    fn drive<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        for _ in 0..10_000 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return value;
            }
            self.machine.step_partition(0);
            self.machine.step_writer();
        }
        panic!("it never ends");
    }

    fn begin(&mut self) -> Result<Copying, CopyRefusal> {
        let pipeline = self.machine.pipeline.clone();
        self.drive(async move { pipeline.copy().await })
    }

    /// Lets the writer do all that it finds to do.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if !matches!(self.machine.step_writer(), Step::Busy(_)) {
                return;
            }
        }
        panic!("the writer never rests");
    }

    /// Compressed rows on disk, as another reader of the file sees them.
    fn blocks(&self) -> i64 {
        // The journal's own lock keeps others out, so the files are looked at elsewhere.
        let copy = tempfile::tempdir().unwrap();
        for name in ["journal.db", "journal.db-wal"] {
            fs::copy(self.dir.path().join(name), copy.path().join(name)).unwrap();
        }
        let db = rusqlite::Connection::open(copy.path().join("journal.db")).unwrap();
        db.query_row("SELECT count(*) FROM headers WHERE codec = 1", [], |row| row.get(0)).unwrap()
    }
}

fn rows(dir: &Path) -> Vec<(u64, Vec<u8>)> {
    let (mut journal, _) = Journal::open(dir, "a test").unwrap();
    let mut rows = Vec::new();
    let each = &mut |record: tasktally::journal::Record<'_>| {
        rows.push((record.first, record.body.to_vec()));
        std::ops::ControlFlow::Continue(())
    };
    journal.read(0, each).unwrap();
    rows
}

#[test]
fn nothing_is_compressed_under_a_copy_and_all_is_after_it() {
    let mut stage = Stage::open();
    let mut copying = stage.begin().unwrap();
    let to = tempfile::tempdir().unwrap();
    let mut incoming = CopyIn::create(to.path(), "a test").unwrap();
    let mut pieces = 0;
    while let Some(piece) = stage.drive(copying.next()).unwrap() {
        incoming.take(&piece).unwrap();
        pieces += 1;
        // Ingest goes on between two pieces; what is looked for every few seconds waits.
        stage.take(10_000 + pieces);
        stage.clock.pass(A_WHILE);
        stage.settle();
        assert_eq!(stage.blocks(), 0);
    }
    assert_eq!(incoming.finish().unwrap(), 1_100);
    drop(copying);
    for _ in 0..2 {
        stage.clock.pass(A_WHILE);
        stage.settle();
    }
    assert!(stage.blocks() > 0, "what waited is done");
    let dir = stage.dir;
    drop(stage.machine);
    assert_eq!(rows(to.path()), rows(dir.path())[..1_100]);
}

#[test]
fn a_copy_that_nobody_takes_is_given_up() {
    let mut stage = Stage::open();
    let mut copying = stage.begin().unwrap();
    assert!(matches!(stage.begin(), Err(CopyRefusal::UnderWay)));
    stage.clock.pass(BACKUP_IDLE);
    for _ in 0..2 {
        stage.clock.pass(A_WHILE);
        stage.settle();
    }
    assert!(stage.blocks() > 0, "the journal is let go");
    assert_eq!(stage.drive(copying.next()), Err(CopyRefusal::TooSlow));
    let other = stage.begin().unwrap();
    // It lets go of its own only.
    drop(copying);
    stage.settle();
    assert!(matches!(stage.begin(), Err(CopyRefusal::UnderWay)));
    drop(other);
    stage.begin().unwrap();
}

#[test]
fn a_copy_ends_in_time_however_fast_it_is_taken() {
    let mut stage = Stage::open();
    let mut copying = stage.begin().unwrap();
    let mut asked = Duration::ZERO;
    let refusal = loop {
        stage.clock.pass(BACKUP_IDLE / 2);
        asked += BACKUP_IDLE / 2;
        stage.settle();
        if let Err(refusal) = stage.drive(copying.next()) {
            break refusal;
        }
        assert!(asked < BACKUP_TOTAL, "it goes on after {asked:?}");
    };
    assert_eq!((refusal, asked >= BACKUP_TOTAL), (CopyRefusal::TooSlow, true), "after {asked:?}");
}

#[test]
fn a_workspace_forgotten_before_its_carry_overs_were_copied_interrupts_the_copy() {
    let mut stage = Stage::open();
    let mut copying = stage.begin().unwrap();
    let pipeline = stage.machine.pipeline.clone();
    stage.drive(async move { pipeline.forget(&Caller::everything(), workspace(HOME)).await }).unwrap();
    assert_eq!(stage.drive(copying.next()), Err(CopyRefusal::Forgotten));
    drop(copying);
    stage.begin().unwrap();
}
