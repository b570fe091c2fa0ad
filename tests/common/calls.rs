//! Clients, and the calls that most tests make.

use prost_types::Timestamp;
use tasktally::api::proto::v1;
use tasktally::api::proto::v1::admin_service_client::AdminServiceClient;
use tasktally::api::proto::v1::ingest_service_client::IngestServiceClient;
use tasktally::api::proto::v1::statistics_service_client::StatisticsServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::process::Server;

/// One connection to a server, and the clients over it.
#[derive(Clone)]
pub struct Client {
    pub channel: Channel,
}

impl Client {
    pub async fn to(server: &Server) -> Client {
        Client::at(Endpoint::from_shared(server.url()).unwrap()).await
    }

    pub async fn at(endpoint: Endpoint) -> Client {
        Client { channel: endpoint.connect().await.expect("the server is reachable") }
    }

    pub fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel.clone())
    }

    pub fn statistics(&self) -> StatisticsServiceClient<Channel> {
        StatisticsServiceClient::new(self.channel.clone())
    }

    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    pub async fn forget(&self, workspace_sid: &str) -> Result<v1::ForgetWorkspaceResponse, Status> {
        let request = v1::ForgetWorkspaceRequest { workspace_sid: workspace_sid.to_owned() };
        self.admin().forget_workspace(request).await.map(tonic::Response::into_inner)
    }

    pub fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel.clone())
    }

    pub async fn send(&self, events: Vec<v1::Event>) -> Result<v1::IngestEventsResponse, Status> {
        let request = v1::IngestEventsRequest { events };
        self.ingest().ingest_events(request).await.map(tonic::Response::into_inner)
    }

    /// Sends events of which each must be taken as new; answers the revision.
    pub async fn accept(&self, events: Vec<v1::Event>) -> i64 {
        let sent = events.len() as i64;
        let answer = self.send(events).await.unwrap();
        assert_eq!((answer.accepted, answer.duplicates), (sent, 0), "{answer:?}");
        answer.revision
    }

    pub async fn realtime(
        &self,
        workspace_sid: &str,
        task_channel: &str,
    ) -> Result<v1::WorkspaceRealtimeStatistics, Status> {
        let (workspace_sid, task_channel) = (workspace_sid.to_owned(), task_channel.to_owned());
        let request = v1::GetRealtimeRequest { workspace_sid, task_channel };
        self.statistics().get_realtime(request).await.map(tonic::Response::into_inner)
    }

    pub async fn cumulative(
        &self,
        request: v1::GetCumulativeRequest,
    ) -> Result<v1::WorkspaceCumulativeStatistics, Status> {
        self.statistics().get_cumulative(request).await.map(tonic::Response::into_inner)
    }

    pub async fn series(
        &self,
        request: v1::GetCumulativeSeriesRequest,
    ) -> Result<v1::GetCumulativeSeriesResponse, Status> {
        self.statistics().get_cumulative_series(request).await.map(tonic::Response::into_inner)
    }

    pub async fn watch(
        &self,
        request: v1::WatchRealtimeRequest,
    ) -> Result<Streaming<v1::WatchRealtimeResponse>, Status> {
        self.statistics().watch_realtime(request).await.map(tonic::Response::into_inner)
    }

    pub async fn health_of(&self, service: &str) -> Result<ServingStatus, Status> {
        let request = HealthCheckRequest { service: service.to_owned() };
        self.health().check(request).await.map(|answer| answer.into_inner().status())
    }
}

/// Everything that happened since a moment.
pub fn since(workspace_sid: &str, start: Timestamp) -> v1::GetCumulativeRequest {
    v1::GetCumulativeRequest {
        workspace_sid: workspace_sid.to_owned(),
        start_time: Some(start),
        ..v1::GetCumulativeRequest::default()
    }
}

/// A watch that a test can look at for as long as it likes without a heartbeat.
pub fn quiet_watch(workspace_sid: &str) -> v1::WatchRealtimeRequest {
    v1::WatchRealtimeRequest {
        workspace_sid: workspace_sid.to_owned(),
        heartbeat_interval: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        ..v1::WatchRealtimeRequest::default()
    }
}

/// The statistics of the next message; panics when the stream ends or hangs instead.
pub async fn next(watch: &mut Streaming<v1::WatchRealtimeResponse>) -> v1::WorkspaceRealtimeStatistics {
    let message = super::in_time("the next message of a watch", watch.message()).await;
    message.unwrap().expect("the watch goes on").realtime.expect("a message holds the statistics")
}

/// The status that a watch ends with; panics when it hangs. Messages before it are passed over.
pub async fn end_of<T>(stream: &mut Streaming<T>) -> Status {
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::new(Code::Ok, ""),
                Err(status) => return status,
            }
        }
    };
    super::in_time("the end of a stream", end).await
}
