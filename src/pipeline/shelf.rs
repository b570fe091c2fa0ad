//! Where published answers stand: put there by the owners, looked up by readers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::topic::Topic;
use crate::engine::{ChannelFilter, Table};
use crate::event::{MINUTE_MS, Millis, WorkspaceSid};

/// Topics that nobody watches or has read in this time are dropped.
const WANTED_FOR_MS: i64 = MINUTE_MS;

/// The topics of one partition. The owner alone writes; readers hold the lock for one look-up.
#[derive(Clone, Default)]
pub struct Shelf {
    standing: Arc<RwLock<Standing>>,
}

#[derive(Default)]
struct Standing {
    /// By channel, since watchers may ask for thousands of one workspace.
    topics: Table<WorkspaceSid, BTreeMap<ChannelFilter, Arc<Topic>>>,
    /// How many there are, since each answer that is not there asks for it.
    count: usize,
}

impl Shelf {
    pub fn find(&self, workspace: WorkspaceSid, filter: &ChannelFilter) -> Option<Arc<Topic>> {
        self.read().topics.get(&workspace)?.get(filter).cloned()
    }

    pub fn topics_of(&self, workspace: WorkspaceSid) -> Vec<Arc<Topic>> {
        self.read().topics.get(&workspace).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    pub fn count_of(&self, workspace: WorkspaceSid) -> usize {
        self.read().topics.get(&workspace).map_or(0, BTreeMap::len)
    }

    pub fn watched(&self) -> Vec<Arc<Topic>> {
        self.read().topics.values().flat_map(BTreeMap::values).filter(|topic| topic.is_watched()).cloned().collect()
    }

    pub fn put(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        let mut standing = self.write();
        let of_workspace = standing.topics.entry(topic.workspace).or_default();
        let taken_place = of_workspace.insert(topic.filter.clone(), topic.clone());
        standing.count += usize::from(taken_place.is_none());
        topic
    }

    /// Takes away all that stands there of a workspace.
    pub fn remove(&self, workspace: WorkspaceSid) -> impl Iterator<Item = Arc<Topic>> {
        let mut standing = self.write();
        let removed = standing.topics.remove(&workspace).unwrap_or_default();
        standing.count -= removed.len();
        removed.into_values()
    }

    /// Keeps what somebody holds, and of the rest, for each workspace, at most so many that were read lately.
    pub fn drop_unwanted(&self, now: Millis, most_unheld: usize) {
        let mut standing = self.write();
        let mut count = 0;
        standing.topics.retain(|_, of_workspace| {
            let mut unheld = 0;
            of_workspace.retain(|_, topic| {
                // A topic in somebody's hands may be about to be watched, so it stays.
                let is_held = Arc::strong_count(topic) > 1;
                let is_wanted = unheld < most_unheld && now.since(topic.asked_at()) < WANTED_FOR_MS;
                unheld += usize::from(!is_held && is_wanted);
                is_held || is_wanted
            });
            count += of_workspace.len();
            !of_workspace.is_empty()
        });
        standing.count = count;
    }

    pub fn len(&self) -> usize {
        self.read().count
    }

    fn read(&self) -> RwLockReadGuard<'_, Standing> {
        self.standing.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Standing> {
        self.standing.write().unwrap_or_else(PoisonError::into_inner)
    }
}
