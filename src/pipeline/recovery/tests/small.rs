//! Settings of a pipeline that is to hold next to nothing. `fuzz/` compiles this file too.

use super::{GrowthLimits, Settings};

pub fn settings(retention_ms: i64) -> Settings {
    let growth = GrowthLimits {
        workspaces: 9,
        channels: 9,
        workers: 9,
        activities: 9,
        tasks: 9,
        name_bytes: 99,
        ..GrowthLimits::default()
    };
    Settings {
        retention_ms,
        partitions: 1,
        queue_events: 1,
        queue_questions: 1,
        views: 1,
        views_per_workspace: 1,
        min_free_disk_bytes: 0,
        growth,
    }
}
