//! A line for each update, for pipes and logs.

use super::args::WatchArgs;
use super::follow::{Follower, Loss, Told, span};
use crate::api::proto::v1::WatchRealtimeRequest;
use crate::cli::args::Output;
use crate::cli::client::{Server, now_ms};
use crate::cli::failure::Failure;
use crate::cli::text::{self, Clock};
use crate::cli::{interrupt, json, print, render, say};

pub async fn run(args: &WatchArgs, server: &Server, workspace_sid: String) -> Result<u8, Failure> {
    let request = WatchRealtimeRequest {
        workspace_sid,
        task_channel: args.subject.channel.clone(),
        min_interval: span(args.min_interval),
        heartbeat_interval: span(args.heartbeat),
    };
    let follower = Follower::new(server, request, args.heartbeat);
    tokio::select! {
        outcome = show_all(follower, args) => outcome,
        () = interrupt() => Ok(0),
    }
}

/// Ends only with an error that repeating cannot help.
async fn show_all(mut follower: Follower<WatchRealtimeRequest>, args: &WatchArgs) -> Result<u8, Failure> {
    let clock = Clock::new(args.display.utc);
    let (mut is_stale, mut has_begun) = (false, false);
    loop {
        match follower.next().await? {
            Told::Message(message) => {
                (is_stale, has_begun) = (false, true);
                let realtime = message.realtime.unwrap_or_default();
                let line = match args.display.output {
                    Output::Json => json::line("WorkspaceRealtimeStatistics", &realtime)?,
                    Output::Text => render::realtime_line(&realtime, clock),
                };
                print(line + "\n")?;
            }
            Told::Lost { loss, .. } => {
                if !is_stale {
                    say(lost(&loss, has_begun.then(now_ms)));
                }
                is_stale = true;
            }
        }
    }
}

/// Without a line before it nothing is stale.
fn lost(loss: &Loss, since_ms: Option<i64>) -> String {
    let what = match since_ms {
        Some(ms) => format!("stale since {}", text::rfc3339(ms)),
        None if loss.is_answer => "refused for now".to_owned(),
        None => "no answer yet".to_owned(),
    };
    format!("{what}: {}; trying again", text::printable(&loss.why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_there_is_stale() {
        let loss = |is_answer| Loss { why: "UNAVAILABLE".to_owned(), is_answer };
        assert_eq!(lost(&loss(false), None), "no answer yet: UNAVAILABLE; trying again");
        assert_eq!(lost(&loss(true), None), "refused for now: UNAVAILABLE; trying again");
        let stale = "stale since 2026-09-21T14:13:20.000Z: UNAVAILABLE; trying again";
        assert_eq!(lost(&loss(true), Some(1_790_000_000_000)), stale);
    }
}
