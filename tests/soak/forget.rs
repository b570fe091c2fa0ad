//! What the naive model may forget, so that it can scan what is left: nothing that an answer could still depend on.

use std::collections::{HashMap, HashSet};

use tasktally::event::{Event, EventKind, MINUTE_MS, Millis};

use crate::support::model::Model;

/// Forgets the tasks that were last heard of more than twice the retention ago: their events are in no window, and an
/// event that is dated within the retention of their end is refused. Workers, activities, the names of channels and the
/// account are for ever, so the events that say them last stay.
pub fn forget(model: &mut Model, now: Millis) {
    let oldest = now.0 - 2 * model.retention_ms - 10 * MINUTE_MS;
    let mut recent_tasks = HashSet::new();
    let mut workers: HashMap<_, i64> = HashMap::new();
    let mut channels: HashMap<_, i64> = HashMap::new();
    for event in &model.accepted {
        if let Some(task) = &event.task {
            if event.at.0 >= oldest {
                recent_tasks.insert(task.sid);
            }
            if let (Some(sid), Some(_)) = (task.channel_sid, &task.channel_name) {
                let latest = channels.entry(sid).or_insert(event.at.0);
                *latest = event.at.0.max(*latest);
            }
        }
        if let Some(worker) = event.worker.as_ref().filter(|worker| worker.activity_sid.is_some()) {
            let latest = workers.entry(worker.sid).or_insert(event.at.0);
            *latest = event.at.0.max(*latest);
        }
    }
    let matters = |event: &Event| {
        let task = event.task.as_ref();
        let channel = task.and_then(|task| task.channel_sid);
        event.at.0 >= oldest
            || event.activity.is_some()
            || event.kind == EventKind::WorkerDeleted
            || task.is_some_and(|task| recent_tasks.contains(&task.sid))
            || channel.is_some_and(|sid| channels.get(&sid) == Some(&event.at.0))
            || event.worker.as_ref().is_some_and(|worker| workers.get(&worker.sid) == Some(&event.at.0))
    };
    // The first names the account.
    let mut first = true;
    model.accepted.retain(|event| std::mem::take(&mut first) || matters(event));
}
