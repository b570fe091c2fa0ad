//! The certificate in force, and the next one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Counters;
use super::files::{Built, Files, TlsError};
use super::handshakes::Handshakes;
use super::stream::TlsAcceptor;
use super::validity::{Validity, now_s};
use crate::limits;

/// How often a certificate that ends soon is spoken of.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The server's identity, as loaded at the start.
pub struct Tls {
    config: watch::Receiver<Arc<ServerConfig>>,
    counters: Arc<Counters>,
    handshakes: Handshakes,
}

/// What looks after the files from then on. Invariants:
/// - What is in force came from files that were good as a whole; no half of a change is.
/// - Connections that are open keep what they were opened with.
pub struct Reload {
    files: Files,
    config: watch::Sender<Arc<ServerConfig>>,
    counters: Arc<Counters>,
    validity: Validity,
    /// The last contents that were looked at, good or bad, so that bad ones are spoken of once; nothing where the files
    /// could not be read.
    seen: Option<u128>,
    reminded: Option<Instant>,
}

impl Tls {
    /// Reads the files. At most `handshakes` handshakes are under way at a time.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub fn load(files: Files, handshakes: usize) -> Result<(Tls, Reload), TlsError> {
        let contents = files.read()?;
        let Built { config, validity } = files.build(&contents)?;
        let counters = Arc::new(Counters::default());
        counters.not_after_s.store(validity.not_after_s, Ordering::Relaxed);
        warn_of_authority(&files, validity);
        let (sender, config) = watch::channel(config);
        let tls = Tls { config, counters: counters.clone(), handshakes: Handshakes::new(handshakes) };
        let seen = Some(contents.fingerprint());
        Ok((tls, Reload { files, config: sender, counters, validity, seen, reminded: None }))
    }

    /// Puts TLS over what `inner` accepts.
    pub fn over<A>(&self, inner: A) -> TlsAcceptor<A> {
        let (config, handshakes) = (self.config.clone(), self.handshakes.clone());
        TlsAcceptor { inner, config, handshakes, counters: self.counters.clone() }
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }
}

impl Reload {
    /// Looks at the files each `period`, for ever.
    pub async fn run(mut self, period: Duration) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.remind(now_s());
            // A file system may be slow; and parsing keys is work.
            let looked = spawn_blocking(move || {
                self.look(now_s());
                self
            });
            self = match looked.await {
                Ok(reload) => reload,
                Err(ended) if ended.is_cancelled() => return,
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            };
        }
    }

    /// Takes the files if they have changed and are good.
    pub(super) fn look(&mut self, now_s: i64) {
        let contents = self.files.read();
        let seen = contents.as_ref().ok().map(super::files::Contents::fingerprint);
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match contents.and_then(|contents| self.build_unexpired(&contents, now_s)) {
            Ok(Built { config, validity }) => {
                self.config.send_replace(config);
                self.validity = validity;
                self.reminded = None;
                self.counters.not_after_s.store(validity.not_after_s, Ordering::Relaxed);
                self.counters.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!(valid_until = validity.end(), "the TLS files have changed; new connections see them");
                warn_of_authority(&self.files, validity);
            }
            Err(error) => {
                self.counters.reloads_failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "the TLS files have changed and are not good; what was in force stays so");
            }
        }
    }

    /// An expired certificate in place of one that is not would lock every client out.
    fn build_unexpired(&self, contents: &super::files::Contents, now_s: i64) -> Result<Built, TlsError> {
        let built = self.files.build(contents)?;
        if built.validity.has_ended(now_s) && !self.validity.has_ended(now_s) {
            return Err(TlsError::Expired { file: self.files.cert.clone(), on: built.validity.end() });
        }
        Ok(built)
    }

    /// Says that the certificate ends soon, or has, or is not valid yet: once, and then each day.
    pub(super) fn remind(&mut self, now_s: i64) -> bool {
        let (days, until) = (self.validity.days_left(now_s), self.validity.end());
        let soon = days < limits::TLS_EXPIRY_NOTICE_DAYS;
        let not_yet = now_s < self.validity.not_before_s;
        let recently = self.reminded.is_some_and(|reminded| reminded.elapsed() < REMIND_EVERY);
        if recently || !(soon || not_yet) {
            return false;
        }
        self.reminded = Some(Instant::now());
        if self.validity.has_ended(now_s) {
            tracing::error!(%until, "the TLS certificate has expired; clients that check it cannot connect");
        } else if not_yet {
            tracing::error!("the TLS certificate is not valid yet; is the clock right?");
        } else {
            tracing::warn!(%until, days, "the TLS certificate ends soon");
        }
        true
    }
}

/// Some clients take it, so that it is served.
fn warn_of_authority(files: &Files, validity: Validity) {
    if validity.is_authority {
        let file = files.cert.display();
        tracing::warn!(
            %file,
            "the TLS certificate is an authority's own (CA:TRUE), which strict clients refuse, this program's among them: \
             make one with basicConstraints=CA:FALSE"
        );
    }
}
