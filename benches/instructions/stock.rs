//! What all paths begin with, made once and without Valgrind: a workspace of 100,000 events, and those that come next.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use tasktally::api::encode;
use tasktally::api::proto::v1::IngestEventsRequest;
use tasktally::engine::{Table, Workspace};
use tasktally::event::{Event, EventKind, Millis};
use tasktally::pipeline::Recovered;

use crate::supply::{BATCH, NOW, Recording};
use crate::work::{Line, workspace_of};

const BATCHES_BEFORE: usize = 100;
const BATCHES_NEXT: usize = 20;

pub struct Stock {
    pub dir: PathBuf,
}

fn recording(dir: &Path) -> PathBuf {
    dir.join("events")
}

fn state(dir: &Path) -> PathBuf {
    dir.join("state")
}

fn request(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("request-{number}"))
}

/// Makes the files that [`Stock`] reads.
pub fn prepare(dir: &Path) {
    let recording = Recording::of_one(&recording(dir), (BATCHES_BEFORE + BATCHES_NEXT) * BATCH);
    let mut batches = recording.forward();
    let mut workspace = None;
    for event in batches.by_ref().take(BATCHES_BEFORE).flatten() {
        workspace.get_or_insert_with(|| workspace_of(&event)).apply(&event, Millis(NOW));
    }
    let mut encoded = Vec::new();
    workspace.expect("events").encode(&mut encoded);
    fs::write(state(dir), encoded).expect("write the state");
    for (number, batch) in batches.enumerate() {
        let events = batch.iter().map(encode::event).collect();
        fs::write(request(dir, number), IngestEventsRequest { events }.encode_to_vec()).expect("write a request");
    }
}

impl Stock {
    pub fn of(dir: &Path) -> Stock {
        Stock { dir: dir.into() }
    }

    /// The workspace as it is before the next events.
    pub fn encoded_state(&self) -> Vec<u8> {
        fs::read(state(&self.dir)).expect("read the state; `prepare` makes it")
    }

    pub fn state(&self) -> Workspace {
        Workspace::decode(&self.encoded_state()).expect("the state that was just written")
    }

    /// What comes next, in batches of a thousand; there are twenty. From the end of the recording, so that what lies
    /// before it need not be read.
    pub fn next(&self, batches: usize) -> Vec<Vec<Event>> {
        assert!(batches <= BATCHES_NEXT, "{batches} batches, and there are {BATCHES_NEXT}");
        let recording = Recording { file: recording(&self.dir), events: 0 };
        let mut next: Vec<Vec<Event>> = recording.backward().take(BATCHES_NEXT).collect();
        next.reverse();
        next.truncate(batches);
        next.iter_mut().for_each(|batch| batch.reverse());
        next
    }

    /// The same as they come over the wire.
    pub fn requests(&self, batches: usize) -> Vec<Bytes> {
        let read = |number| fs::read(request(&self.dir, number)).expect("a request: there are twenty").into();
        (0..batches).map(read).collect()
    }

    /// The next creations of tasks: each changes what is.
    pub fn creations(&self, count: usize) -> Vec<Event> {
        let events = self.next(BATCHES_NEXT).into_iter().flatten();
        let creations: Vec<_> = events.filter(|event| event.kind == EventKind::TaskCreated).take(count).collect();
        assert_eq!(creations.len(), count, "creations of tasks, against those wanted");
        creations
    }

    /// All of the pipeline with the workspace in it, and without a disk.
    pub fn line(&self) -> Line {
        let mut workspaces = Table::default();
        let first = self.next(1).remove(0).remove(0);
        workspaces.insert(first.workspace, Box::new(self.state()));
        let (carried, carried_to) = (BTreeSet::new(), Millis(0));
        Line::resumed(Recovered { workspaces, key: 7, carried, carried_to, replayed: 0 })
    }
}
