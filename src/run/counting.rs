//! What is counted and who tells it: the ports besides the main one.

use std::sync::Arc;

use super::ServeError;
use super::listening::{Besides, Identity, Ports};
use crate::api::{self, Api};
use crate::config::ServeConfig;
use crate::metrics;
use crate::server::{Health, Rpc, Templates, Traffic};
use crate::trace::Traces;
use crate::trace::export::Export;

/// The calls of the main port, each method and path counted for itself, and traced.
pub fn traffic(traces: Traces) -> Arc<Traffic> {
    let rpcs = api::reflection::methods().into_iter().map(|method| {
        let kind = match (method.takes_stream, method.gives_stream) {
            (false, false) => "unary",
            (true, false) => "client_stream",
            (false, true) => "server_stream",
            (true, true) => "bidi_stream",
        };
        Rpc { service: method.service, method: method.name, kind }
    });
    let all = crate::http::TEMPLATES.iter().chain(PAGES).copied().collect();
    Arc::new(Traffic::new(rpcs.collect(), Templates { all, of: template }).with_traces(traces))
}

/// The pages for people, as they are counted; what they ask for is told from what is loaded once.
const PAGES: &[&str] = &[
    "/",
    "/wallboard/stream",
    "/wallboard/workspaces",
    "/wallboard/channels",
    "/wallboard/session",
    "/wallboard/{file}",
];

fn template(path: &str) -> Option<&'static str> {
    let page = || PAGES.iter().copied().find(|page| *page == path);
    let file = || path.strip_prefix("/wallboard/").filter(|file| !file.contains('/')).map(|_| "/wallboard/{file}");
    crate::http::template(path).or_else(page).or_else(file)
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
    export: Option<&Export>,
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
            spans: export.map(Export::counters),
            data_dir: (!config.ephemeral).then(|| config.data_dir.clone()),
            stop: api.stop.clone(),
        };
        ports.metrics = Some(Besides::metrics(address, sources).await?);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_stands_for_its_own_paths_and_no_other() {
        for (path, expected) in [
            ("/", Some("/")),
            ("/wallboard/stream", Some("/wallboard/stream")),
            ("/wallboard/board.js", Some("/wallboard/{file}")),
            ("/wallboard/a/b", None),
            ("/v1/Workspaces/WS1/Statistics", Some("/v1/Workspaces/{WorkspaceSid}/Statistics")),
            (
                "/v1/Workspaces/WS1/RealTimeStatistics/Stream",
                Some("/v1/Workspaces/{WorkspaceSid}/RealTimeStatistics/Stream"),
            ),
            ("/v1/Workspaces/WS1/Statistics/More", None),
            ("/v2/Workspaces/WS1/Statistics", None),
            ("/v1/events/callback", Some("/v1/events/callback")),
            ("/metrics", None),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
        assert!(traffic(Traces::default()).plain().next().is_none(), "nothing was asked for");
    }
}
