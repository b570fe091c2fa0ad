//! The three resources: read the parameters, ask, write.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::call::Call;
use super::figures::Sheet;
use super::kept::{Kept, Written};
use super::parameters::Parameters;
use super::problem::{Problem, problem};
use crate::api::decode::{self, CumulativeRequest, RealtimeRequest};
use crate::api::encode::{self, Stamp};
use crate::api::proto::v1;
use crate::api::status::ApiError;
use crate::api::{Api, permit};
use crate::event::WorkspaceSid;
use crate::pipeline::{AskError, CumulativeQuestion, Role};

/// Where questions are answered. Shared as a whole, since cloning it for each call costs more than some answers.
pub struct Counter {
    api: Api,
    kept: Kept,
}

impl Counter {
    pub fn new(api: &Api) -> Arc<Counter> {
        Arc::new(Counter { api: api.clone(), kept: Kept::new() })
    }
}

pub async fn realtime(State(counter): State<Arc<Counter>>, call: Call) -> Response {
    call.reply(read_realtime(&counter, &call).await)
}

pub async fn cumulative(State(counter): State<Arc<Counter>>, call: Call) -> Response {
    call.reply(read_cumulative(&counter.api, &call).await.map(Written::from))
}

pub async fn statistics(State(counter): State<Arc<Counter>>, call: Call) -> Response {
    call.reply(read_statistics(&counter.api, &call).await.map(Written::from))
}

async fn read_realtime(counter: &Counter, call: &Call) -> Result<Written, Problem> {
    let Counter { api, kept } = counter;
    let parameters = call.parameters();
    let request = v1::GetRealtimeRequest {
        workspace_sid: call.workspace_sid.clone(),
        task_channel: parameters.word("TaskChannel"),
    };
    let read = decode::realtime(request).map_err(ApiError::BadFields);
    let RealtimeRequest { workspace, channel } = parameters.checked(read)?;
    permit(&call.caller, Role::Read).map_err(problem)?;
    let stamped = asked(workspace, api.pipeline.realtime(&call.caller, workspace, &channel).await)?;
    Ok(kept.written(workspace, channel, &stamped, || {
        Sheet::realtime(&encode::realtime(Stamp::of(&api.links, workspace, &stamped), &stamped.answer))
    }))
}

async fn read_cumulative(api: &Api, call: &Call) -> Result<Sheet, Problem> {
    let (workspace, question) = interval(call)?;
    let stamped = asked(workspace, api.pipeline.cumulative(&call.caller, workspace, question).await)?;
    Ok(Sheet::cumulative(&encode::cumulative(Stamp::of(&api.links, workspace, &stamped), &stamped.answer)))
}

async fn read_statistics(api: &Api, call: &Call) -> Result<Sheet, Problem> {
    let (workspace, question) = interval(call)?;
    let stamped = asked(workspace, api.pipeline.statistics(&call.caller, workspace, question).await)?;
    let (realtime, cumulative) = &stamped.answer;
    Ok(Sheet::statistics(&encode::statistics(Stamp::of(&api.links, workspace, &stamped), realtime, cumulative)))
}

/// What is asked about an interval, by a caller who may.
fn interval(call: &Call) -> Result<(WorkspaceSid, CumulativeQuestion), Problem> {
    let mut parameters = call.parameters();
    let request = cumulative_request(&call.workspace_sid, &mut parameters);
    let read = decode::cumulative(request).map_err(ApiError::BadFields);
    let CumulativeRequest { workspace, channel, window, thresholds } = parameters.checked(read)?;
    permit(&call.caller, Role::Read).map_err(problem)?;
    Ok((workspace, CumulativeQuestion { channel, window, thresholds }))
}

fn cumulative_request(workspace_sid: &str, parameters: &mut Parameters) -> v1::GetCumulativeRequest {
    v1::GetCumulativeRequest {
        workspace_sid: workspace_sid.to_owned(),
        task_channel: parameters.word("TaskChannel"),
        minutes: parameters.number("Minutes"),
        start_time: parameters.time("StartDate"),
        end_time: parameters.time("EndDate"),
        split_by_wait_time: parameters.numbers("SplitByWaitTime"),
    }
}

fn asked<T>(workspace: WorkspaceSid, answer: Result<T, AskError>) -> Result<T, Problem> {
    answer.map_err(|error| problem(ApiError::Ask(workspace, error)))
}
