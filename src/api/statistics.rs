//! StatisticsService: decode, ask, encode.

use tonic::{Request, Response, Status};

use super::codec::Encoded;
use super::decode::{self, CumulativeRequest, RealtimeRequest, SeriesRequest};
use super::encode::{self, Stamp, written};
use super::feed::Hub;
use super::inquiry::Inquiry;
use super::proto::v1::{self, statistics_service_server::StatisticsService};
use super::status::ApiError;
use super::watch::Watch;
use super::{Api, caller, listing, permit, watch};
use crate::event::WorkspaceSid;
use crate::pipeline::{AskError, CumulativeQuestion, Role, SeriesQuestion, Stamped, Topic};

/// Answers questions about workspaces.
pub struct Statistics {
    pub(super) api: Api,
    pub(super) hub: Hub<Topic>,
    pub(super) statistics_hub: Hub<Inquiry>,
}

impl Statistics {
    pub fn new(api: Api) -> Statistics {
        let hub = Hub::new(api.links.clone(), watch::message, api.stop.clone());
        let statistics_hub = Hub::new(api.links.clone(), watch::statistics_message, api.stop.clone());
        Statistics { api, hub, statistics_hub }
    }

    fn stamp<T>(&self, workspace: WorkspaceSid, stamped: &Stamped<T>) -> Stamp<'_> {
        Stamp::of(&self.api.links, workspace, stamped)
    }
}

/// Waits for the answer to a question about a workspace.
pub(super) async fn ask<T>(
    workspace: WorkspaceSid,
    answer: impl Future<Output = Result<T, AskError>>,
) -> Result<T, Status> {
    answer.await.map_err(|error| ApiError::Ask(workspace, error).into())
}

#[tonic::async_trait]
impl StatisticsService for Statistics {
    async fn get_statistics(
        &self,
        request: Request<v1::GetStatisticsRequest>,
    ) -> Result<Response<v1::WorkspaceStatistics>, Status> {
        let caller = caller(&request);
        let (workspace, question) = split(decode::statistics(request.into_inner()).map_err(ApiError::BadFields)?);
        permit(&caller, Role::Read)?;
        let stamped = ask(workspace, self.api.pipeline.statistics(&caller, workspace, question)).await?;
        let (realtime, cumulative) = &stamped.answer;
        Ok(Response::new(encode::statistics(self.stamp(workspace, &stamped), realtime, cumulative)))
    }

    async fn get_realtime(&self, request: Request<v1::GetRealtimeRequest>) -> Result<Response<Encoded>, Status> {
        let caller = caller(&request);
        let RealtimeRequest { workspace, channel } =
            decode::realtime(request.into_inner()).map_err(ApiError::BadFields)?;
        permit(&caller, Role::Read)?;
        let stamped = ask(workspace, self.api.pipeline.realtime(&caller, workspace, &channel)).await?;
        Ok(Response::new(written::realtime(self.stamp(workspace, &stamped), &stamped.answer)))
    }

    async fn get_cumulative(&self, request: Request<v1::GetCumulativeRequest>) -> Result<Response<Encoded>, Status> {
        let caller = caller(&request);
        let (workspace, question) = split(decode::cumulative(request.into_inner()).map_err(ApiError::BadFields)?);
        permit(&caller, Role::Read)?;
        let stamped = ask(workspace, self.api.pipeline.cumulative(&caller, workspace, question)).await?;
        Ok(Response::new(written::cumulative(self.stamp(workspace, &stamped), &stamped.answer)))
    }

    async fn get_cumulative_series(
        &self,
        request: Request<v1::GetCumulativeSeriesRequest>,
    ) -> Result<Response<v1::GetCumulativeSeriesResponse>, Status> {
        let caller = caller(&request);
        let SeriesRequest { of, bucket_s } = decode::series(request.into_inner()).map_err(ApiError::BadFields)?;
        permit(&caller, Role::Read)?;
        let (workspace, of) = split(of);
        let stamped =
            ask(workspace, self.api.pipeline.series(&caller, workspace, SeriesQuestion { of, bucket_s })).await?;
        Ok(Response::new(encode::series(self.stamp(workspace, &stamped), &stamped.answer)))
    }

    type WatchRealtimeStream = Watch<Topic>;

    async fn watch_realtime(
        &self,
        request: Request<v1::WatchRealtimeRequest>,
    ) -> Result<Response<Watch<Topic>>, Status> {
        watch::open(self, request).await.map(Response::new)
    }

    type WatchStatisticsStream = Watch<Inquiry>;

    async fn watch_statistics(
        &self,
        request: Request<v1::WatchStatisticsRequest>,
    ) -> Result<Response<Watch<Inquiry>>, Status> {
        watch::open_statistics(self, request).await.map(Response::new)
    }

    async fn list_workspaces(
        &self,
        request: Request<v1::ListWorkspacesRequest>,
    ) -> Result<Response<v1::ListWorkspacesResponse>, Status> {
        listing::workspaces(&self.api, request).await.map(Response::new)
    }

    async fn list_task_channels(
        &self,
        request: Request<v1::ListTaskChannelsRequest>,
    ) -> Result<Response<v1::ListTaskChannelsResponse>, Status> {
        listing::task_channels(&self.api, request).await.map(Response::new)
    }
}

fn split(request: CumulativeRequest) -> (WorkspaceSid, CumulativeQuestion) {
    let CumulativeRequest { workspace, channel, window, thresholds } = request;
    (workspace, CumulativeQuestion { channel, window, thresholds })
}
