//! grpc.health.v1: what the server is ready for, for load balancers and probes.
use std::sync::Arc;
use tokio::sync::Mutex;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

/// The whole server, in the protocol's own words.
const OVERALL: &str = "";
/// SERVING until the process ends: a probe on it restarts only what does not answer at all, never a long replay.
const LIVENESS: &str = "liveness";
/// SERVING while the server should be sent calls.
const READINESS: &str = "readiness";

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The journal is being replayed; there is nothing to ask yet.
    Starting,
    Serving,
    /// Reads go on; ingest is refused until the journal can be written again.
    JournalUnwritable,
    /// Final: whatever recovers now, the process ends.
    Draining,
}

/// Sets what the health service says. Clones speak for the same server.
///
/// Invariants:
/// - `liveness` is SERVING always.
/// - `draining` is final: nothing reports SERVING after it.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    ingest: &'static str,
    reads: &'static [&'static str],
    phase: Arc<Mutex<Phase>>,
}

impl Health {
    /// A server that is starting. `ingest` is the name of the service that writes the journal, `reads` are the others.
    pub async fn starting(ingest: &'static str, reads: &'static [&'static str]) -> Self {
        let phase = Arc::new(Mutex::new(Phase::Starting));
        let health = Self { reporter: HealthReporter::new(), ingest, reads, phase };
        health.report(None, Phase::Starting).await;
        health
    }

    /// The service to mount.
    pub fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// The journal is replayed, or can be written again.
    pub async fn serving(&self) {
        self.enter(Phase::Serving).await;
    }

    /// The journal cannot be written for now: ingest and the whole are NOT_SERVING.
    ///
    /// `readiness` stays SERVING, for "reads go on": a probe on it takes the process out of every route, reads included,
    /// and a full disk would then stop the watchers too. A router that should go by ingest asks for the ingest service.
    pub async fn journal_unwritable(&self) {
        self.enter(Phase::JournalUnwritable).await;
    }

    /// The server is shutting down. To be called before the shutdown token fires, so that watchers of health hear it
    /// before their streams end.
    pub async fn draining(&self) {
        self.enter(Phase::Draining).await;
    }

    async fn enter(&self, next: Phase) {
        // Held over the report, so that two changes at a time cannot leave a mixture.
        let mut phase = self.phase.lock().await;
        if *phase == Phase::Draining || *phase == next {
            return;
        }
        let before = std::mem::replace(&mut *phase, next);
        self.report(Some(before), next).await;
    }

    /// Sets what the phase changes and nothing else: each set status goes to whoever watches that name.
    async fn report(&self, before: Option<Phase>, now: Phase) {
        let said = before.map(|phase| self.statuses(phase));
        for (place, (name, is_serving)) in self.statuses(now).into_iter().enumerate() {
            if said.as_ref().is_some_and(|said| said[place].1 == is_serving) {
                continue;
            }
            let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Each name, and whether it is SERVING.
    fn statuses(&self, phase: Phase) -> Vec<(&'static str, bool)> {
        let (overall, ingest, reads, readiness) = match phase {
            Phase::Starting | Phase::Draining => (false, false, false, false),
            Phase::Serving => (true, true, true, true),
            Phase::JournalUnwritable => (false, false, true, true),
        };
        let own = [(OVERALL, overall), (self.ingest, ingest), (READINESS, readiness), (LIVENESS, true)];
        own.into_iter().chain(self.reads.iter().map(|name| (*name, reads))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus as Wire, health_server::Health as _,
    };

    const INGEST: &str = "tasktally.v1.IngestService";
    const READS: &[&str] = &["tasktally.v1.StatisticsService", "grpc.reflection.v1.ServerReflection"];

    async fn check(health: &Health, name: &str) -> Result<bool, Code> {
        let service = HealthService::from_health_reporter(health.reporter.clone());
        let request = tonic::Request::new(HealthCheckRequest { service: name.to_owned() });
        let answer = service.check(request).await.map_err(|status| status.code())?.into_inner();
        Ok(answer.status == Wire::Serving as i32)
    }

    /// What is said of: the whole, ingest, each read service, readiness, liveness.
    async fn all(health: &Health) -> [bool; 6] {
        let mut said = [false; 6];
        for (said, name) in said.iter_mut().zip([OVERALL, INGEST, READS[0], READS[1], READINESS, LIVENESS]) {
            *said = check(health, name).await.unwrap();
        }
        said
    }

    #[tokio::test]
    async fn each_phase_says_what_is_ready() {
        let health = Health::starting(INGEST, READS).await;
        assert_eq!(all(&health).await, [false, false, false, false, false, true], "starting");
        health.serving().await;
        assert_eq!(all(&health).await, [true; 6], "serving");
        health.journal_unwritable().await;
        assert_eq!(all(&health).await, [false, false, true, true, true, true], "journal unwritable");
        health.serving().await;
        assert_eq!(all(&health).await, [true; 6], "recovered");
        health.draining().await;
        assert_eq!(all(&health).await, [false, false, false, false, false, true], "draining");
    }

    #[tokio::test]
    async fn nothing_serves_after_draining() {
        let health = Health::starting(INGEST, READS).await;
        health.draining().await;
        health.clone().serving().await;
        health.journal_unwritable().await;
        assert_eq!(all(&health).await, [false, false, false, false, false, true]);
    }

    #[tokio::test]
    async fn an_unknown_service_is_not_found() {
        let health = Health::starting(INGEST, READS).await;
        assert_eq!(check(&health, "nobody").await, Err(Code::NotFound));
    }
}
