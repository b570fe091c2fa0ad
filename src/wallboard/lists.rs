//! What can be chosen: the workspaces that the caller sees, and the channels of one.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::asked::Asked;
use super::json;
use crate::api::decode;
use crate::api::proto::v1;
use crate::api::status::ApiError;
use crate::api::{Api, permit};
use crate::http::problem::{Problem, problem};
use crate::limits;
use crate::pipeline::Role;

#[derive(Serialize)]
struct Workspaces {
    workspaces: Vec<String>,
    /// Whether there are others, which the page finds by their sid alone.
    more: bool,
}

#[derive(Serialize)]
struct Channels {
    channels: Vec<String>,
    more: bool,
}

pub async fn workspaces(State(api): State<Api>, asked: Asked) -> Response {
    answer(read_workspaces(&api, &asked).await)
}

pub async fn channels(State(api): State<Api>, asked: Asked) -> Response {
    answer(read_channels(&api, &asked).await)
}

async fn read_workspaces(api: &Api, asked: &Asked) -> Result<Workspaces, ApiError> {
    permit(&asked.caller, Role::Read)?;
    let most = most(api);
    let rows = api.pipeline.workspaces(&asked.caller, None, most + 1).await.map_err(ApiError::List)?;
    let workspaces = rows.iter().take(most).map(|row| row.workspace.to_string()).collect();
    Ok(Workspaces { workspaces, more: rows.len() > most })
}

async fn read_channels(api: &Api, asked: &Asked) -> Result<Channels, ApiError> {
    let request = v1::GetRealtimeRequest { workspace_sid: asked.word("workspace"), ..Default::default() };
    let workspace = decode::realtime(request).map_err(ApiError::BadFields)?.workspace;
    permit(&asked.caller, Role::Read)?;
    let most = most(api);
    let rows = api.pipeline.channels(&asked.caller, workspace, None, most + 1).await;
    let rows = rows.map_err(|error| ApiError::Ask(workspace, error))?;
    let channels = rows.iter().take(most).map(|row| row.unique_name.to_string()).collect();
    Ok(Channels { channels, more: rows.len() > most })
}

fn most(api: &Api) -> usize {
    limits::WALLBOARD_CHOICES.min(api.limits.max_page_rows)
}

fn answer<T: Serialize>(read: Result<T, ApiError>) -> Response {
    let read: Result<T, Problem> = read.map_err(problem);
    match read {
        Ok(list) => json(&list),
        Err(problem) => problem.into_response(),
    }
}
