//! `tasktally watch`: the state of a workspace, live. On a terminal it is redrawn in place; elsewhere each update is a
//! line. A lost connection is taken up again; until then the view says since when it has been stale.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::{Attribute, SetAttribute};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue};
use tonic::{Request, Status, Streaming};

use super::args::{Output, WatchArgs};
use super::client::Server;
use super::delivery::Backoff;
use super::failure::{Failure, describe};
use super::text::{self, Clock};
use super::{interrupt, json, print, render, say};
use crate::api::proto::v1::{WatchRealtimeRequest, WatchRealtimeResponse, WorkspaceRealtimeStatistics};

/// How many heartbeats may be missed before the view counts as stale.
const MISSED_HEARTBEATS: u32 = 3;

/// A watch goes on for as long as the user looks; this bounds only what `Backoff` must be told.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub async fn run(args: WatchArgs) -> Result<u8, Failure> {
    let server = Server::new(&args.connection)?;
    let workspace_sid = server.subject(&args.subject).await?.one()?;
    let request = WatchRealtimeRequest {
        workspace_sid,
        task_channel: args.subject.channel.clone(),
        min_interval: Some(span(args.min_interval)),
        heartbeat_interval: Some(span(args.heartbeat)),
    };
    let mut view = View::open(&args)?;
    let shown = tokio::select! {
        outcome = follow(&server, request, args.heartbeat, &mut view) => outcome,
        () = interrupt() => Ok(()),
    };
    view.close()?;
    shown.map(|()| 0)
}

/// Shows every message; ends only with an error that repeating cannot help.
async fn follow(
    server: &Server,
    request: WatchRealtimeRequest,
    heartbeat: Duration,
    view: &mut View,
) -> Result<(), Failure> {
    let mut backoff = Backoff::new(FOREVER);
    loop {
        let trouble = match open(server, request.clone()).await {
            Ok(mut messages) => match show_all(&mut messages, heartbeat, view, &mut backoff).await? {
                Some(status) => status,
                None => Status::unavailable("the server ended the stream"),
            },
            Err(status) => status,
        };
        let why = describe(&trouble);
        let pause = backoff.pause(trouble)?;
        view.lose(why.lines().next().unwrap_or_default())?;
        tokio::time::sleep(pause).await;
    }
}

/// Opens the stream; only that has a time limit.
async fn open(server: &Server, request: WatchRealtimeRequest) -> Result<Streaming<WatchRealtimeResponse>, Status> {
    let mut client = server.statistics();
    match tokio::time::timeout(server.timeout(), client.watch_realtime(Request::new(request))).await {
        Ok(opened) => opened.map(|response| response.into_inner()),
        Err(_) => Err(Status::deadline_exceeded("no answer within --timeout")),
    }
}

async fn show_all(
    messages: &mut Streaming<WatchRealtimeResponse>,
    heartbeat: Duration,
    view: &mut View,
    backoff: &mut Backoff,
) -> Result<Option<Status>, Failure> {
    let overdue = heartbeat * MISSED_HEARTBEATS + Duration::from_secs(1);
    loop {
        match tokio::time::timeout(overdue, messages.message()).await {
            Ok(Ok(Some(message))) => {
                backoff.reset();
                view.show(message.realtime.unwrap_or_default())?;
            }
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(status)) => return Ok(Some(status)),
            Err(_) => return Ok(Some(Status::unavailable("no heartbeat"))),
        }
    }
}

fn span(duration: Duration) -> prost_types::Duration {
    // Bounded to an hour by the flags.
    prost_types::Duration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }
}

/// What the user sees.
struct View {
    output: Output,
    clock: Clock,
    /// Redrawn in place rather than line by line.
    live: bool,
    last: Option<WorkspaceRealtimeStatistics>,
    /// Since when there has been nothing new, and why.
    stale: Option<(Instant, String, String)>,
}

impl View {
    fn open(args: &WatchArgs) -> Result<View, Failure> {
        let live = args.display.output == Output::Text && io::stdout().is_terminal();
        let clock = Clock::new(args.display.utc);
        if live {
            execute!(io::stdout(), EnterAlternateScreen, Hide).map_err(terminal_trouble)?;
        }
        Ok(View { output: args.display.output, clock, live, last: None, stale: None })
    }

    fn show(&mut self, statistics: WorkspaceRealtimeStatistics) -> Result<(), Failure> {
        self.stale = None;
        let line = match self.output {
            _ if self.live => None,
            Output::Json => Some(json::line("WorkspaceRealtimeStatistics", &statistics)?),
            Output::Text => Some(render::realtime_line(&statistics, self.clock)),
        };
        self.last = Some(statistics);
        match line {
            Some(line) => print(line + "\n"),
            None => self.draw(),
        }
    }

    /// Nothing new comes; the last state stays in view, marked.
    fn lose(&mut self, why: &str) -> Result<(), Failure> {
        let now = text::rfc3339(super::client::now_ms());
        let first = self.stale.is_none();
        let (since, since_text) = match self.stale.take() {
            Some((since, text, _)) => (since, text),
            None => (Instant::now(), now),
        };
        if !self.live && first {
            say(format_args!("stale since {since_text}: {why}; connecting again"));
        }
        self.stale = Some((since, since_text, why.to_owned()));
        if self.live { self.draw() } else { Ok(()) }
    }

    fn draw(&self) -> Result<(), Failure> {
        let (width, height) = terminal::size().unwrap_or((80, 24));
        let lines = self.lines();
        let mut out = io::stdout().lock();
        let mut paint = || -> io::Result<()> {
            queue!(out, MoveTo(0, 0))?;
            for (row, line) in lines.iter().take(usize::from(height)).enumerate() {
                // Cut, not wrapped: a wrapped line would push the others out of place.
                let cut: String = line.chars().take(usize::from(width)).collect();
                let attribute = if row == 0 { Attribute::Reverse } else { Attribute::Reset };
                let row = u16::try_from(row).unwrap_or(u16::MAX);
                queue!(out, MoveTo(0, row), SetAttribute(attribute))?;
                write!(out, "{cut}")?;
                queue!(out, SetAttribute(Attribute::Reset), Clear(ClearType::UntilNewLine))?;
            }
            queue!(out, Clear(ClearType::FromCursorDown))?;
            out.flush()
        };
        paint().map_err(terminal_trouble)
    }

    fn lines(&self) -> Vec<String> {
        let head = match &self.stale {
            None => " tasktally watch · live · Ctrl-C ends ".to_owned(),
            Some((since, at, why)) => {
                let seconds = i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX);
                let age = text::duration(Some(prost_types::Duration { seconds, nanos: 0 }));
                format!(" STALE since {at} ({age}): {why} · connecting again ")
            }
        };
        let body = self
            .last
            .as_ref()
            .map_or("waiting for the first state".to_owned(), |statistics| render::realtime(statistics, self.clock));
        std::iter::once(head).chain(body.lines().map(str::to_owned)).collect()
    }

    /// Gives the terminal back, with the last state left on it.
    fn close(self) -> Result<(), Failure> {
        if !self.live {
            return Ok(());
        }
        let last = self.last.as_ref().map(|statistics| render::realtime(statistics, self.clock));
        drop(self);
        last.map_or(Ok(()), print)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if self.live {
            // There is nowhere left to complain to.
            let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        }
    }
}

fn terminal_trouble(error: io::Error) -> Failure {
    Failure::local("the terminal", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_view_keeps_its_state_and_says_since_when() {
        let mut view = View { output: Output::Text, clock: Clock::Utc, live: false, last: None, stale: None };
        assert_eq!(view.lines()[1], "waiting for the first state");
        view.show(WorkspaceRealtimeStatistics { total_tasks: 7, ..Default::default() }).unwrap();
        assert!(view.lines()[0].contains("live"));
        view.lose("UNAVAILABLE: gone").unwrap();
        let first = view.stale.clone().unwrap();
        view.lose("UNAVAILABLE: still gone").unwrap();
        let lines = view.lines();
        assert_eq!(view.stale.as_ref().unwrap().1, first.1, "stale since the first loss");
        assert!(lines[0].contains("STALE since") && lines[0].contains("still gone"), "{}", lines[0]);
        assert!(lines.iter().any(|line| line.contains("active") && line.ends_with('7')), "{lines:?}");
    }
}
