//! What GetStatus tells of the process: when it began, its bounds, and what only the ports and the disk know.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bounds::settings;
use crate::api::standing::{Bounds, Disk, Look, Process};
use crate::config::ServeConfig;
use crate::journal::OnDisk;
use crate::pipeline::{Clock as _, SystemClock, free_bytes};
use crate::server::{Connections, Traffic};

pub fn process(config: &ServeConfig, connections: &Connections, traffic: &Arc<Traffic>) -> Process {
    let bounds = Bounds {
        connections: connections.max_connections as u64,
        growth: settings(config).growth,
        queued_events: config.bounds.max_queued_events as u64,
        letters: config.bounds.max_dead_letters as u64,
        letter_bytes: config.bounds.max_dead_letter_bytes as u64,
    };
    let (traffic, dir) = (traffic.clone(), (!config.ephemeral).then(|| config.data_dir.clone()));
    let look = move || {
        // The closed ones first: one that closes in between was open before.
        let closed = traffic.closed.load(Ordering::Acquire);
        let connections = traffic.accepted.load(Ordering::Acquire).saturating_sub(closed);
        Look { connections, disk: dir.as_deref().and_then(disk) }
    };
    Process { started: SystemClock.now(), retention: config.retention, bounds, look: Arc::new(look) }
}

fn disk(dir: &Path) -> Option<Disk> {
    let OnDisk { journal_bytes, wal_bytes, checkpoint_bytes, checkpoint_age } = OnDisk::of(dir).ok()?;
    let free_bytes = free_bytes(dir).ok();
    Some(Disk { journal_bytes: journal_bytes + wal_bytes, checkpoint_bytes, checkpoint_age, free_bytes })
}
