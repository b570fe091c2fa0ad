//! `tasktally get` and `tasktally cumulative`: one question, one answer, ready to be printed.

use prost_types::Timestamp;

use super::args::{GetArgs, Output};
use super::client::{Server, Subject, answer, now_ms};
use super::failure::Failure;
use super::text::Clock;
use super::{json, render};
use crate::api::proto::v1::{GetCumulativeRequest, GetStatisticsRequest, ListWorkspacesResponse};

/// What is and what was or, where there is a choice of workspaces, the choice.
pub async fn statistics(args: GetArgs) -> Result<String, Failure> {
    let server = Server::new(&args.connection)?;
    let workspace_sid = match server.subject(&args.subject).await? {
        Subject::One(sid) => sid,
        Subject::Several { workspaces, more } => {
            return Ok(match args.display.output {
                Output::Text => render::choice(&workspaces, more, &args.connection.flags()),
                Output::Json => {
                    let list = ListWorkspacesResponse { workspaces, next_page_token: String::new() };
                    json::line("ListWorkspacesResponse", &list)? + "\n"
                }
            });
        }
    };
    let GetCumulativeRequest { workspace_sid, task_channel, minutes, start_time, end_time, split_by_wait_time } =
        question(&args, workspace_sid, now_ms());
    let request =
        GetStatisticsRequest { workspace_sid, task_channel, minutes, start_time, end_time, split_by_wait_time };
    let statistics = answer(server.statistics().get_statistics(server.request(request)).await)?;
    let clock = Clock::new(args.display.utc);
    Ok(match args.display.output {
        Output::Json => json::line("WorkspaceStatistics", &statistics)? + "\n",
        Output::Text => {
            let now = render::realtime(&statistics.realtime.unwrap_or_default(), &args.subject.channel, clock);
            let then = render::interval(&statistics.cumulative.unwrap_or_default(), clock);
            format!("{now}\n{then}")
        }
    })
}

/// What was.
pub async fn cumulative(args: GetArgs) -> Result<String, Failure> {
    let server = Server::new(&args.connection)?;
    let workspace_sid = server.subject(&args.subject).await?.one(&args.connection)?;
    let request = question(&args, workspace_sid, now_ms());
    let statistics = answer(server.statistics().get_cumulative(server.request(request)).await)?;
    Ok(match args.display.output {
        Output::Json => json::line("WorkspaceCumulativeStatistics", &statistics)? + "\n",
        Output::Text => render::cumulative(&statistics, &args.subject.channel, Clock::new(args.display.utc)),
    })
}

fn question(args: &GetArgs, workspace_sid: String, now_ms: i64) -> GetCumulativeRequest {
    let time = |moment: super::args::Moment| timestamp(moment.as_millis(now_ms));
    GetCumulativeRequest {
        workspace_sid,
        task_channel: args.subject.channel.clone(),
        minutes: args.minutes,
        start_time: args.start.map(time),
        end_time: args.end.map(time),
        split_by_wait_time: args.split.clone(),
    }
}

fn timestamp(ms: i64) -> Timestamp {
    Timestamp { seconds: ms.div_euclid(1000), nanos: (ms.rem_euclid(1000) * 1_000_000) as i32 }
}
