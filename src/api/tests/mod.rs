//! The services as a client meets them: its own codec, real HTTP bodies, a real pipeline, no network.

mod contract;
mod errors;
mod ingest;
mod reading;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prost::Message;
use prost_types::Timestamp;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::{InterceptedService, Service};
use tonic::{Request, Status};

use super::encode::Links;
use super::intake::{Intake, Metered};
use super::proto::v1::ingest_service_client::IngestServiceClient;
use super::proto::v1::ingest_service_server::IngestServiceServer;
use super::proto::v1::statistics_service_client::StatisticsServiceClient;
use super::proto::v1::statistics_service_server::StatisticsServiceServer;
use super::proto::v1::{self, EventType, TaskAssignmentStatus};
use super::refine::Refined;
use super::{Api, ApiLimits, standing};
use crate::event::{DAY_MS, Millis};
use crate::letters::Letters;
use crate::pipeline::{Caller, Clock, GrowthLimits, Pipeline, Role, Settings, start_ephemeral};

/// A whole second.
const NOW: i64 = 1_800_000_000_000;

pub(super) struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

type Ingest = Refined<Metered<IngestServiceServer<super::ingest::Ingest>>>;
type Statistics = Refined<StatisticsServiceServer<super::statistics::Statistics>>;
type LetIn = fn(Request<()>) -> Result<Request<()>, Status>;

/// What the transport's entrance does for a caller that may do everything.
fn let_in(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.extensions_mut().insert(Caller::everything());
    Ok(request)
}

pub(super) struct Scene {
    api: Api,
    clock: Arc<HandClock>,
    ingest: IngestServiceClient<InterceptedService<Ingest, LetIn>>,
    statistics: StatisticsServiceClient<InterceptedService<Statistics, LetIn>>,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(ApiLimits::default())
    }

    fn with(limits: ApiLimits) -> Scene {
        let clock = Arc::new(HandClock(AtomicI64::new(NOW)));
        let growth = GrowthLimits {
            workspaces: 5,
            channels: 100,
            workers: 1000,
            activities: 100,
            tasks: 100_000,
            name_bytes: 256,
            ..GrowthLimits::default()
        };
        let settings = Settings {
            retention_ms: 30 * DAY_MS,
            partitions: 2,
            queue_events: 20_000,
            queue_questions: 100,
            views: 100,
            views_per_workspace: 10,
            min_free_disk_bytes: 0,
            growth,
        };
        let running = start_ephemeral(settings, clock.clone(), Pipeline::default()).unwrap();
        let links = Arc::new(Links::new("http://localhost:50051"));
        let api = Api {
            pipeline: running.pipeline.clone(),
            links,
            limits,
            letters: Letters::default(),
            read_raw: |form, _| unreachable!("no letter of the form {form:?} was kept"),
            seats: crate::api::seats::Seats::new(&limits),
            intake: Intake::new(&limits),
            process: standing::Process {
                started: clock.now(),
                retention: std::time::Duration::from_secs(30 * 86_400),
                bounds: standing::Bounds::default(),
                look: Arc::new(standing::Look::default),
            },
            stop: CancellationToken::new(),
        };
        Scene {
            clock,
            ingest: IngestServiceClient::with_interceptor(api.ingest_service(), let_in as LetIn),
            statistics: StatisticsServiceClient::with_interceptor(api.statistics_service(), let_in as LetIn),
            api,
        }
    }

    fn later(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    async fn send(&mut self, events: Vec<v1::Event>) -> v1::IngestEventsResponse {
        self.ingest.ingest_events(v1::IngestEventsRequest { events }).await.unwrap().into_inner()
    }

    async fn realtime(&mut self, workspace_sid: &str) -> v1::WorkspaceRealtimeStatistics {
        let request = v1::GetRealtimeRequest { workspace_sid: workspace_sid.into(), task_channel: String::new() };
        self.statistics.get_realtime(request).await.unwrap().into_inner()
    }

    /// Calls a method with this body, as it is.
    async fn raw(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> http::Response<Body> {
        let mut request = http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::new(http_body_util::Full::new(body.into()))).unwrap();
        request.extensions_mut().insert(Caller::everything());
        let answer = if path.contains("Ingest") {
            self.api.ingest_service().call(request).await
        } else {
            self.api.statistics_service().call(request).await
        };
        answer.unwrap()
    }
}

/// A message in the frame that gRPC puts around it.
fn framed(compressed: bool, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[u8::from(compressed)][..], &length, message].concat()
}

fn framed_message(message: &impl Message) -> Vec<u8> {
    framed(false, &message.encode_to_vec())
}

fn sid(letters: &str, number: usize) -> String {
    format!("{letters}{number:032x}")
}

fn workspace(number: usize) -> String {
    sid("WS", number)
}

fn time(ms: i64) -> Option<Timestamp> {
    let nanos = i32::try_from(ms.rem_euclid(1000)).unwrap() * 1_000_000;
    Some(Timestamp { seconds: ms.div_euclid(1000), nanos })
}

/// The event of this number: of a task of the same number, created a minute before now, a second ago.
fn event(number: usize, kind: EventType, status: TaskAssignmentStatus) -> v1::Event {
    v1::Event {
        sid: sid("EV", number),
        r#type: kind.into(),
        timestamp: time(NOW - 1000),
        account_sid: sid("AC", 1),
        workspace_sid: workspace(1),
        task: Some(v1::Task {
            sid: sid("WT", number),
            date_created: time(NOW - 60_000),
            assignment_status: status.into(),
            task_channel_unique_name: "voice".into(),
            ..v1::Task::default()
        }),
        ..v1::Event::default()
    }
}

fn created(number: usize) -> v1::Event {
    event(number, EventType::TaskCreated, TaskAssignmentStatus::Pending)
}

#[test]
fn a_call_that_came_past_the_entrance_may_do_nothing() {
    let caller = super::caller(&Request::new(()));
    assert!(Role::ALL.into_iter().all(|role| super::permit(&caller, role).is_err()));
}
