//! CPU time, and the engine alone by it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tasktally::engine::Workspace;
use tasktally::event::{Event, Millis};

use super::supply::NOW;

/// CPU time of this thread. Unlike the clock's it does not hang on what else the machine does.
pub fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The engine alone: is it known, and if not, take it. Gives the CPU that the batch took.
pub fn apply(state: &mut Workspace, batch: &[Event]) -> Duration {
    let begun = thread_cpu();
    for event in batch {
        if !state.has(event) {
            state.apply(event, Millis(NOW));
        }
    }
    thread_cpu() - begun
}
