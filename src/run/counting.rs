//! What is counted and who tells it: the ports besides the main one.

use std::sync::Arc;

use super::ServeError;
use super::listening::{Besides, Identity, Ports};
use crate::api::{self, Api};
use crate::config::ServeConfig;
use crate::metrics;
use crate::server::{Health, Rpc, Templates, Traffic};

/// The calls of the main port, each method and path counted for itself.
pub fn traffic() -> Arc<Traffic> {
    let rpcs = api::reflection::methods().into_iter().map(|method| {
        let kind = match (method.takes_stream, method.gives_stream) {
            (false, false) => "unary",
            (true, false) => "client_stream",
            (false, true) => "server_stream",
            (true, true) => "bidi_stream",
        };
        Rpc { service: method.service, method: method.name, kind }
    });
    Arc::new(Traffic::new(rpcs.collect(), Templates { all: crate::http::TEMPLATES, of: crate::http::template }))
}

/// Opens the ports besides the main one.
///
/// # Errors
/// An address cannot be listened on.
pub async fn ports(
    config: &ServeConfig,
    health: &Health,
    api: &Api,
    traffic: &Arc<Traffic>,
    identity: Option<&Identity>,
) -> Result<Ports, ServeError> {
    let mut ports = Ports { probes: None, metrics: None };
    if let Some(address) = config.tls.health_listen {
        ports.probes = Some(Besides::health(address, health).await?);
    }
    if let Some(address) = config.metrics_listen {
        let sources = metrics::Sources {
            pipeline: api.pipeline.clone(),
            seats: api.seats.clone(),
            letters: api.letters.clone(),
            traffic: traffic.clone(),
            tls: identity.map(Identity::counters),
            data_dir: (!config.ephemeral).then(|| config.data_dir.clone()),
            stop: api.stop.clone(),
        };
        ports.metrics = Some(Besides::metrics(address, sources).await?);
    }
    Ok(ports)
}
