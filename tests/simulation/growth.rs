//! The bounds on what callers make a server keep, as the oracle counts them.

use std::collections::BTreeSet;

use tasktally::event::Event;
use tasktally::pipeline::Refusal;

use super::oracle::Oracle;

const WORKERS: (&str, &str) = ("worker", "max_workers_per_workspace");
const ACTIVITIES: (&str, &str) = ("activity", "max_activities_per_workspace");

impl Oracle {
    /// The bounds, as if the model held the group.
    pub fn check_growth(&self, event: &Event) -> Result<(), Refusal> {
        fn fits<T: Ord>(
            known: BTreeSet<T>,
            new: Option<T>,
            most: Option<usize>,
            (kind, limit): (&'static str, &'static str),
        ) -> Result<(), Refusal> {
            match (most, new) {
                (Some(most), Some(new)) if !known.contains(&new) && known.len() >= most => {
                    Err(Refusal::LimitExceeded { kind, limit, most: most as u64 })
                }
                _ => Ok(()),
            }
        }
        // Over all partitions, with those that other groups are about to add.
        let claimed = self.parts.iter().filter_map(|part| part.group.as_ref()).flat_map(|group| &group.events);
        let known = self.model.accepted.iter().chain(claimed).map(|event| event.workspace);
        fits(known.collect(), Some(event.workspace), self.shape.workspaces, ("workspace", "max_workspaces"))?;
        let own = || self.model.accepted.iter().filter(|known| known.workspace == event.workspace);
        let worker = |event: &Event| event.worker.as_ref().map(|worker| worker.sid);
        fits(own().filter_map(worker).collect(), worker(event), self.shape.workers, WORKERS)?;
        let activity = |event: &Event| {
            let stated = || event.worker.as_ref().and_then(|worker| worker.activity_sid);
            event.activity.as_ref().map(|activity| activity.sid).or_else(stated)
        };
        fits(own().filter_map(activity).collect(), activity(event), self.shape.activities, ACTIVITIES)
    }
}
