//! The ports: the one that everything is served on, with or without TLS, and those for probes and metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;

use super::ServeError;
use crate::config::{ClientAuth, ConnectionSettings, TlsSettings, reachable};
use crate::limits;
use crate::metrics;
use crate::server::{self, Connections, Health, Outcome};
use crate::tls::{self, Files, Reload, Tls};

/// How long the last probes may take once everything else has ended.
const LAST_PROBES: Duration = Duration::from_millis(500);

/// The bounds on connections, of which there are never more than files may be open: an accept that fails for want of a
/// file would fail for the journal, too.
pub fn connections(settings: &ConnectionSettings) -> Connections {
    let max_connections = room_for_files(settings.max_connections);
    Connections {
        max_connections,
        max_connections_per_peer: settings.max_connections_per_peer,
        preface_timeout: settings.handshake_timeout,
        write_stall_timeout: settings.write_stall_timeout,
        header_read_timeout: settings.header_timeout,
        body_timeout: settings.body_timeout,
        max_header_bytes: settings.max_header_bytes,
        keep_alive_interval: settings.keepalive_interval,
        keep_alive_timeout: settings.keepalive_timeout,
        max_idle: settings.max_connection_idle,
        max_age: settings.max_connection_age,
        max_grace: settings.max_connection_grace,
        max_concurrent_streams: settings.max_streams,
        max_control_frames: settings.max_control_frames,
        max_unread_bytes: settings.max_unread_bytes,
        ..Connections::default()
    }
}

/// Raises the soft limit on open files as far as the hard one allows; answers for how many connections it is enough.
fn room_for_files(connections: usize) -> usize {
    let besides = limits::FILES_BESIDES + 2 * limits::PROBE_CONNECTIONS;
    let wanted = connections.saturating_add(besides);
    match rlimit::increase_nofile_limit(wanted as u64) {
        Ok(limit) if limit < wanted as u64 => {
            let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(besides).max(1);
            tracing::warn!(
                limit,
                wanted,
                max_connections = room,
                "the limit on open files is low; it bounds the connections"
            );
            room
        }
        Ok(_) => connections,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit on open files");
            connections
        }
    }
}

/// A port, and where it is in the end. `flag` is the setting that named it.
///
/// # Errors
/// The address cannot be listened on.
pub async fn bind(flag: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { flag, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The server's identity, where it is to have one.
pub struct Identity {
    tls: Tls,
    reload: Reload,
    period: Duration,
}

impl Identity {
    /// What is counted of handshakes and files.
    pub fn counters(&self) -> Arc<tls::Counters> {
        self.tls.counters()
    }

    /// # Errors
    /// What is wrong with the files.
    pub fn load(settings: &TlsSettings, handshakes: usize) -> Result<Option<Identity>, ServeError> {
        let (Some(cert), Some(key)) = (settings.tls_cert.clone(), settings.tls_key.clone()) else { return Ok(None) };
        let client_required = settings.tls_client_auth == ClientAuth::Require;
        let files = Files { cert, key, client_ca: settings.tls_client_ca.clone(), client_required };
        let (tls, reload) = Tls::load(files, handshakes)?;
        Ok(Some(Identity { tls, reload, period: settings.tls_reload_interval }))
    }
}

/// What is served on the main port, and how.
pub struct Serving {
    pub router: Router,
    pub settings: server::Settings,
    pub stop: CancellationToken,
    /// How long a shutdown may wait for calls in flight.
    pub bound: Duration,
}

impl Serving {
    /// Serves in the background until `stop` fires and all is drained.
    pub fn begin(self, listener: TcpListener, identity: Option<Identity>) -> JoinHandle<Outcome> {
        let Serving { router, settings, stop, bound } = self;
        match identity {
            None => tokio::spawn(server::serve(listener, router, settings, stop, bound)),
            Some(Identity { tls, reload, period }) => tokio::spawn(async move {
                let _reload = AbortOnDropHandle::new(tokio::spawn(reload.run(period)));
                server::serve(tls.over(listener), router, settings, stop, bound).await
            }),
        }
    }
}

/// A port besides the main one, in plaintext, for what the platform asks: health, or metrics. It answers until the rest
/// has ended, since who finds nobody cannot tell a drain from a crash.
pub struct Besides {
    pub address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<Outcome>,
}

impl Besides {
    /// The port for probes: health alone. It says NOT_SERVING when a shutdown begins.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn health(address: SocketAddr, health: &Health) -> Result<Besides, ServeError> {
        let router = server::router(Routes::new(health.service()), Router::new(), server::wordless);
        Besides::open("--health-listen", address, router, "health probes").await
    }

    /// The port for metrics.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn metrics(address: SocketAddr, sources: metrics::Sources) -> Result<Besides, ServeError> {
        let router = server::router(Routes::default(), metrics::router(sources), server::wordless);
        Besides::open("--metrics-listen", address, router, "scrapes of metrics").await
    }

    async fn open(flag: &'static str, address: SocketAddr, router: Router, what: &str) -> Result<Besides, ServeError> {
        let (listener, address) = bind(flag, address).await?;
        tracing::info!(%address, "listening for {what}, in plaintext");
        let connections = Connections {
            max_connections: limits::PROBE_CONNECTIONS,
            max_concurrent_streams: limits::PROBE_STREAMS,
            ..Connections::default()
        };
        let settings = server::Settings { connections, ..server::Settings::default() };
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server::serve(listener, router, settings, stop.clone(), LAST_PROBES));
        Ok(Besides { address, stop, serving })
    }

    /// Ends it, once everything else has.
    pub async fn close(self) {
        self.stop.cancel();
        // Bounded by itself; and there is nothing left to do about a failure.
        let _ = self.serving.await;
    }
}

/// The ports besides the main one.
pub struct Ports {
    pub probes: Option<Besides>,
    pub metrics: Option<Besides>,
}

impl Ports {
    /// What a start says of them.
    pub fn greeting(&self) -> String {
        let told = |port: &Option<Besides>, told: &dyn Fn(SocketAddr) -> String| {
            port.as_ref().map(|port| told(port.address)).unwrap_or_default()
        };
        let health = told(&self.probes, &|address| format!("health {} (plaintext)\n", reachable(address)));
        let scrape = |address| format!("scrape http://{}{} (plaintext)\n", reachable(address), metrics::PATH);
        health + &told(&self.metrics, &scrape)
    }

    pub async fn close(self) {
        for port in [self.probes, self.metrics].into_iter().flatten() {
            port.close().await;
        }
    }
}
