//! AdminService: what the operator of a server asks of it.

use tonic::{Request, Response, Status};

use super::proto::v1::{self, admin_service_server::AdminService};
use super::status::ApiError;
use super::{Api, caller, decode};
use crate::pipeline::ForgetError;

/// Does what operators ask.
pub struct Admin {
    api: Api,
}

impl Admin {
    pub fn new(api: Api) -> Admin {
        Admin { api }
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn forget_workspace(
        &self,
        request: Request<v1::ForgetWorkspaceRequest>,
    ) -> Result<Response<v1::ForgetWorkspaceResponse>, Status> {
        let caller = caller(&request);
        let workspace = decode::forget_workspace(request.into_inner()).map_err(ApiError::BadFields)?;
        let forgotten = self.api.pipeline.forget(&caller, workspace).await;
        let revision = forgotten.map_err(|error| match error {
            ForgetError::Ask(error) => ApiError::Ask(workspace, error),
            ForgetError::Write(error) => ApiError::Ingest(error),
        })?;
        tracing::info!(%workspace, revision, "forgot a workspace");
        Ok(Response::new(v1::ForgetWorkspaceResponse { revision }))
    }
}
