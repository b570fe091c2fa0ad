//! Where published answers stand: put there by the owners, looked up by readers.

use std::sync::{Arc, PoisonError, RwLock};

use super::topic::Topic;
use crate::engine::{ChannelFilter, Table};
use crate::event::{MINUTE_MS, Millis, WorkspaceSid};

/// Topics that nobody watches or has read in this time are dropped.
const WANTED_FOR_MS: i64 = MINUTE_MS;

/// The topics of one partition. The owner alone writes; readers hold the lock for one look-up.
#[derive(Clone, Default)]
pub struct Shelf {
    topics: Arc<RwLock<Table<WorkspaceSid, Vec<Arc<Topic>>>>>,
}

impl Shelf {
    pub fn find(&self, workspace: WorkspaceSid, filter: &ChannelFilter) -> Option<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(&workspace)?.iter().find(|topic| topic.filter == *filter).cloned()
    }

    pub fn topics_of(&self, workspace: WorkspaceSid) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(&workspace).cloned().unwrap_or_default()
    }

    pub fn watched(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().flatten().filter(|topic| topic.is_watched()).cloned().collect()
    }

    pub fn put(&self, topic: Topic) -> Arc<Topic> {
        let topic = Arc::new(topic);
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.entry(topic.workspace).or_default().push(topic.clone());
        topic
    }

    /// Takes away all that stands there of a workspace.
    pub fn remove(&self, workspace: WorkspaceSid) -> Vec<Arc<Topic>> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.remove(&workspace).unwrap_or_default()
    }

    /// Keeps what somebody holds, and of the rest, for each workspace, at most so many that were read lately.
    pub fn drop_unwanted(&self, now: Millis, most_unheld: usize) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.retain(|_, of_workspace| {
            let mut unheld = 0;
            of_workspace.retain(|topic| {
                // A topic in somebody's hands may be about to be watched, so it stays.
                let is_held = Arc::strong_count(topic) > 1;
                let is_wanted = unheld < most_unheld && now.since(topic.asked_at()) < WANTED_FOR_MS;
                unheld += usize::from(!is_held && is_wanted);
                is_held || is_wanted
            });
            !of_workspace.is_empty()
        });
    }

    pub fn len(&self) -> usize {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().map(Vec::len).sum()
    }
}
