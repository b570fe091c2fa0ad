//! The bounds of the configuration, as each room takes them.

use crate::api::ApiLimits;
use crate::config::ServeConfig;
use crate::letters;
use crate::pipeline::{self, AccountLimits, GrowthLimits};

pub fn settings(config: &ServeConfig) -> pipeline::Settings {
    let bounds = &config.bounds;
    pipeline::Settings {
        retention_ms: config.retention.as_millis() as i64,
        partitions: config.partitions,
        queue_events: bounds.max_queued_events,
        queue_questions: bounds.max_queued_questions,
        views: bounds.max_cached_views,
        views_per_workspace: bounds.max_cached_views_per_workspace,
        min_free_disk_bytes: bounds.min_free_disk,
        growth: GrowthLimits {
            workspaces: bounds.max_workspaces,
            channels: bounds.max_channels_per_workspace,
            workers: bounds.max_workers_per_workspace,
            activities: bounds.max_activities_per_workspace,
            tasks: bounds.max_tasks_per_workspace,
            priorities: bounds.max_priorities_per_workspace,
            name_bytes: bounds.max_name_bytes,
            account: AccountLimits {
                workspaces: bounds.max_workspaces_per_account,
                channels: bounds.max_channels_per_account,
                workers: bounds.max_workers_per_account,
                activities: bounds.max_activities_per_account,
                tasks: bounds.max_tasks_per_account,
            },
        },
    }
}

pub fn letter_bounds(config: &ServeConfig) -> letters::Bounds {
    let bounds = &config.bounds;
    letters::Bounds {
        letters: bounds.max_dead_letters,
        bytes: bounds.max_dead_letter_bytes,
        letters_per_account: bounds.max_dead_letters_per_account,
        bytes_per_account: bounds.max_dead_letter_bytes_per_account,
    }
}

pub fn api_limits(config: &ServeConfig) -> ApiLimits {
    let bounds = &config.bounds;
    ApiLimits {
        max_events: bounds.max_events_per_call,
        max_message_bytes: bounds.max_message_bytes,
        max_watchers: bounds.max_watchers,
        max_watchers_per_account: bounds.max_watchers_per_account,
        max_page_rows: bounds.max_page_size,
        max_ingest_bytes: bounds.max_ingest_bytes,
        ..ApiLimits::default()
    }
}
