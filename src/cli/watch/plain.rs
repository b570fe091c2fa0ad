//! A line for each update, for pipes and logs.

use super::args::WatchArgs;
use super::follow::{Follower, Told, span};
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
    let mut is_stale = false;
    loop {
        match follower.next().await? {
            Told::Message(message) => {
                is_stale = false;
                let realtime = message.realtime.unwrap_or_default();
                let line = match args.display.output {
                    Output::Json => json::line("WorkspaceRealtimeStatistics", &realtime)?,
                    Output::Text => render::realtime_line(&realtime, clock),
                };
                print(line + "\n")?;
            }
            Told::Lost { why, .. } => {
                if !is_stale {
                    let now = text::rfc3339(now_ms());
                    say(format_args!("stale since {now}: {}; connecting again", text::printable(&why)));
                }
                is_stale = true;
            }
        }
    }
}
