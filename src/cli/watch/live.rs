//! The board: news, keys, signals and time in, a painting out.

use std::io;
use std::time::Instant;

use ratatui::crossterm::event::Event;
use tokio::sync::mpsc;

use super::args::WatchArgs;
use super::feed::{Feed, News};
use super::keys::{Ask, press};
use super::last;
use super::model::{Model, Subject};
use super::screen::{self, Screen, trouble};
use crate::cli::client::Server;
use crate::cli::failure::Failure;
use crate::cli::print;
use crate::cli::text::Clock;
use crate::limits;

/// Without a workspace, the board begins with a choice.
pub async fn run(args: &WatchArgs, server: Server, workspace: Option<String>) -> Result<u8, Failure> {
    let clock = Clock::new(args.display.utc);
    let has_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subject = Subject { workspace: workspace.unwrap_or_default(), channel: args.subject.channel.clone() };
    let model = Model::new(args.board.clone(), clock, has_color, args.connection.address.clone(), subject);
    let (feed, news) = Feed::new(server, args);
    let ends = screen::ends()?;
    let screen = Screen::open()?;
    let mut board = Board { model, feed, news, screen, ends, keys: screen::keys()? };
    let code = board.run().await?;
    let Board { model, screen, .. } = board;
    drop(screen);
    // The last state is left where the board was.
    match last::text(&model) {
        Some(text) if code == 0 => print(text).map(|()| code),
        _ => Ok(code),
    }
}

struct Board {
    model: Model,
    feed: Feed,
    news: mpsc::Receiver<(u64, News)>,
    screen: Screen,
    ends: mpsc::Receiver<u8>,
    keys: mpsc::Receiver<io::Result<Event>>,
}

impl Board {
    async fn run(&mut self) -> Result<u8, Failure> {
        self.feed.turn_to(&self.model.subject);
        self.feed.look_for_workspaces();
        let mut ticks = tokio::time::interval(limits::TERMINAL_TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            self.screen.paint(&self.model, Instant::now())?;
            tokio::select! {
                Some(code) = self.ends.recv() => return Ok(code),
                () = self.screen.resumed() => self.screen.take_again()?,
                event = self.keys.recv() => {
                    let event = event.unwrap_or(Err(io::ErrorKind::UnexpectedEof.into())).map_err(trouble)?;
                    if self.on(event).await? {
                        return Ok(0);
                    }
                }
                Some(news) = self.news.recv() => self.take_all(news)?,
                panic = self.feed.panic() => std::panic::resume_unwind(panic),
                _ = ticks.tick() => {}
            }
        }
    }

    /// What is there at once is one painting.
    fn take_all(&mut self, first: (u64, News)) -> Result<(), Failure> {
        let mut next = Some(first);
        while let Some((choice, news)) = next {
            if self.feed.is_current(choice) {
                self.model.take(news, Instant::now())?;
            }
            next = self.news.try_recv().ok();
        }
        Ok(())
    }

    /// Whether this was the end.
    async fn on(&mut self, event: Event) -> Result<bool, Failure> {
        // A resize is seen by the next painting.
        let Event::Key(key) = event else { return Ok(false) };
        match press(&mut self.model, key) {
            None => {}
            Some(Ask::End) => return Ok(true),
            Some(Ask::Suspend) => self.screen.suspend().await?,
            Some(Ask::Repaint) => self.screen.repaint()?,
            Some(Ask::Follow) => self.feed.turn_to(&self.model.subject),
            Some(Ask::LookForChannels) => self.feed.look_for_channels(),
            Some(Ask::LookForWorkspaces) => self.feed.look_for_workspaces(),
        }
        Ok(false)
    }
}
