//! `--demo`: a simulated centre beside the server, in one process, for a first look.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ServeError;
use crate::config::ServeConfig;
use crate::limits;
use crate::simulate::demo::Demo;

/// How much of its past a demo shows: a working day.
const PAST: Duration = Duration::from_secs(8 * 60 * 60);

/// Starts the centre on a thread and a runtime of its own, as a client would be; it ends with `stop`. Answers its
/// workspaces.
pub(super) fn begin(
    config: &ServeConfig,
    address: SocketAddr,
    stop: CancellationToken,
) -> Result<Vec<String>, ServeError> {
    // Short of the retention, since the oldest events age while they are sent.
    let past = PAST.min(config.retention - config.retention / 10);
    let batch = limits::CLIENT_BATCH_EVENTS.min(config.bounds.max_events_per_call);
    let demo = Demo::new(address, past, batch).map_err(|failure| ServeError::Demo(failure.to_string()))?;
    let workspace_sids = demo.workspace_sids();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Runtime)?;
    let life = move || {
        if let Err(failure) = runtime.block_on(demo.run(stop)) {
            tracing::error!("the demo has ended, the server goes on: {failure}");
        }
    };
    std::thread::Builder::new().name("demo".into()).spawn(life).map_err(ServeError::Thread)?;
    Ok(workspace_sids)
}

/// That made-up events come to no real ones.
pub(super) fn check_data_dir(config: &ServeConfig) -> Result<(), ServeError> {
    let holds_something = |dir: &Path| fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if config.demo && !config.ephemeral && holds_something(&config.data_dir) {
        return Err(ServeError::DemoOverData(config.data_dir.clone()));
    }
    Ok(())
}
