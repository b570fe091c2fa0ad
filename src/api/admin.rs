//! AdminService: what the operator of a server asks of it.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::proto::v1::{self, admin_service_server::AdminService};
use super::status::ApiError;
use super::{Api, caller, caller_name, decode, letters, permit, standing};
use crate::pipeline::{Copying, ForgetError, Role, Scope};

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
    async fn get_status(&self, request: Request<v1::GetStatusRequest>) -> Result<Response<v1::ServerStatus>, Status> {
        standing::status(&self.api, request).await.map(Response::new)
    }

    async fn forget_workspace(
        &self,
        request: Request<v1::ForgetWorkspaceRequest>,
    ) -> Result<Response<v1::ForgetWorkspaceResponse>, Status> {
        let (caller, by) = (caller(&request), caller_name(&request));
        let workspace = decode::forget_workspace(request.into_inner()).map_err(ApiError::BadFields)?;
        permit(&caller, Role::Admin)?;
        let forgotten = self.api.pipeline.forget(&caller, workspace).await;
        let revision = forgotten.map_err(|error| match error {
            ForgetError::Ask(error) => ApiError::Ask(workspace, error),
            ForgetError::Write(error) => ApiError::Ingest(error),
        })?;
        tracing::info!(%workspace, revision, ?by, "forgot a workspace");
        Ok(Response::new(v1::ForgetWorkspaceResponse { revision }))
    }

    type BackupStream = ReceiverStream<Result<v1::BackupResponse, Status>>;

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let (caller, by) = (caller(&request), caller_name(&request));
        permit(&caller, Role::Admin)?;
        // A copy holds every account's events.
        if caller.scope != Scope::All {
            return Err(ApiError::NotOfAll.into());
        }
        let copying = self.api.pipeline.copy().await.map_err(ApiError::Backup)?;
        tracing::info!(position = copying.begun.position, ?by, "a backup begins");
        // One piece waits and one is in hand, so that a reader that stalls costs two pieces.
        let (pieces, stream) = mpsc::channel(1);
        tokio::spawn(hand_out(copying, pieces, self.api.stop.clone()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        letters::list(&self.api, request).await.map(Response::new)
    }

    async fn resend_dead_letters(
        &self,
        request: Request<v1::ResendDeadLettersRequest>,
    ) -> Result<Response<v1::ResendDeadLettersResponse>, Status> {
        letters::resend(&self.api, request).await.map(Response::new)
    }

    async fn drop_dead_letters(
        &self,
        request: Request<v1::DropDeadLettersRequest>,
    ) -> Result<Response<v1::DropDeadLettersResponse>, Status> {
        letters::drop_those(&self.api, request).await.map(Response::new)
    }
}

/// Bytes of a piece in one message: rows of a large group have more than a client takes in one.
const MESSAGE_PIECE_BYTES: usize = 1 << 20;

/// Ends with the copy, with the reader, or with the server.
async fn hand_out(
    mut copying: Copying,
    pieces: mpsc::Sender<Result<v1::BackupResponse, Status>>,
    stop: CancellationToken,
) {
    let (position, total_bytes) = (copying.begun.position as i64, copying.begun.bytes as i64);
    let all = async {
        loop {
            let whole = match copying.next().await {
                Ok(Some(whole)) => whole,
                Ok(None) => break,
                Err(refusal) => {
                    // A reader that has gone need not hear why.
                    let _ = pieces.send(Err(ApiError::Backup(refusal).into())).await;
                    break;
                }
            };
            for piece in whole.chunks(MESSAGE_PIECE_BYTES) {
                let message = v1::BackupResponse { position, total_bytes, piece: piece.to_vec() };
                if pieces.send(Ok(message)).await.is_err() {
                    return;
                }
            }
        }
        tracing::info!(position, "a backup ends");
    };
    tokio::select! {
        () = stop.cancelled() => drop(pieces.try_send(Err(ApiError::Stopping.into()))),
        () = all => {}
    }
}
