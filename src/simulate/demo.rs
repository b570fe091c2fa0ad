//! The centre of `serve --demo`: a working day of its past as fast as the server takes it, then live.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::feed::{self, Plan};
use super::send::{self, Carrier};
use super::{Centre, Disturbance, Disturbed, Settings};
use crate::cli::args::{ConnectionArgs, TlsArgs};
use crate::cli::client::{Server, now_ms};
use crate::cli::delivery::{Courier, Tally, describe_rejection};
use crate::cli::failure::Failure;

/// Two workspaces, so that there is something to choose from; each is offered a task every three seconds.
const WORKSPACES: usize = 2;
const WORKERS: usize = 60;
const TASKS_A_SECOND: f64 = 0.6;
const SEED: u64 = 1;

/// How long one call may take, and how long the server may take nothing.
const CALL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);
const IN_FLIGHT: usize = 4;

/// A made-up contact centre that is about to begin.
pub struct Demo {
    centre: Centre,
    carrier: Carrier,
    batch: usize,
    began_ms: i64,
}

impl Demo {
    /// A centre that began so long ago and sends to the server that is bound so, in plaintext and with no credentials.
    ///
    /// # Errors
    /// There is no client for this address.
    pub fn new(bound: SocketAddr, past: Duration, batch: usize) -> Result<Demo, Failure> {
        let began_ms = now_ms();
        let start_ms = began_ms - i64::try_from(past.as_millis()).unwrap_or(0);
        let settings =
            Settings { start_ms, workspaces: WORKSPACES, workers: WORKERS, tasks_per_second: TASKS_A_SECOND };
        let address = format!("http://{}", loopback(bound));
        // Whatever the environment says of other servers is not meant for this one.
        let connection = ConnectionArgs { address, timeout: CALL, token: Default::default(), tls: TlsArgs::default() };
        let carrier = Carrier::Calls(Courier { server: Server::new(&connection)?, patience: PATIENCE });
        Ok(Demo { centre: Centre::new(SEED, settings), carrier, batch, began_ms })
    }

    pub fn workspace_sids(&self) -> Vec<String> {
        self.centre.workspace_sids()
    }

    /// Sends until the token is cancelled, or a call is refused as a whole.
    ///
    /// # Errors
    /// That refusal, or a server that takes nothing.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let Demo { centre, carrier, batch, began_ms } = self;
        let started = Instant::now();
        let deliveries = Disturbed::new(centre, SEED, Disturbance { duplicates: 0.0, late: 0.0, late_by_ms: 0 });
        let (batches, reached_ms) = feed::start(deliveries, Plan { until_ms: None, batch }, stop.clone());
        let mut receipts = send::start(vec![carrier], IN_FLIGHT, batches);
        let mut tally = Tally::default();
        let (mut is_live, mut has_complained) = (false, false);
        loop {
            let receipt = tokio::select! {
                // What was made up and is not sent yet is missed by nobody.
                () = stop.cancelled() => return Ok(()),
                receipt = receipts.recv() => receipt,
            };
            let Some(receipt) = receipt.transpose()? else { return Ok(()) };
            tally.add(&receipt);
            if let Some(rejected) = receipt.response.rejected.first().filter(|_| !has_complained) {
                has_complained = true;
                tracing::warn!("the demo's events are refused: {}", describe_rejection(rejected));
            }
            if !is_live && reached_ms.load(Ordering::Relaxed) >= began_ms {
                is_live = true;
                let took_ms = started.elapsed().as_millis() as u64;
                tracing::info!(events = tally.settled(), took_ms, "the demo's past is in; it goes on live");
            }
        }
    }
}

/// Where a client on this host reaches what is bound so: "every address" is none.
fn loopback(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}
