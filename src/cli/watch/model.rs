//! What the board knows, and how news and time change it. Nothing here waits, paints or asks: [`view`](super::view) is
//! a function of this and of the moment.

use std::time::{Duration, Instant};

use super::args::BoardArgs;
use super::feed::News;
use super::figures::{Happened, Realtime, WINDOWS};
use super::follow::Loss;
use super::popup::{Picker, Popup};
use crate::cli::failure::Failure;
use crate::cli::text::Clock;

/// What stands on the board, and how.
#[derive(Debug)]
pub struct Model {
    pub board: BoardArgs,
    pub clock: Clock,
    pub has_color: bool,
    /// Where the figures come from, for people.
    pub address: String,
    pub subject: Subject,
    pub link: Link,
    pub realtime: Option<At<Realtime>>,
    pub windows: [Window; WINDOWS.len()],
    pub popup: Option<Popup>,
    /// The channels of the workspace, and the workspaces, as far as they are known.
    pub channels: List,
    pub workspaces: List,
    /// No event had named the channel when the list of them came, and none of it has been seen since.
    pub is_unheard: bool,
}

/// What the figures are of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Empty where nobody has chosen yet.
    pub workspace: String,
    /// Empty for all.
    pub channel: String,
}

/// Something, and when it came.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub told: T,
    pub at: Instant,
}

#[derive(Clone, Debug)]
pub enum Link {
    /// There are no figures yet.
    Connecting,
    Live,
    Lost {
        loss: Loss,
        again_at: Instant,
    },
}

#[derive(Clone, Debug, Default)]
pub struct Window {
    pub happened: Option<Happened>,
    pub trend: Vec<Happened>,
    /// Its own stream is broken.
    pub is_stale: bool,
    /// Why it will show nothing.
    pub note: Option<String>,
}

/// Names to choose from.
#[derive(Clone, Debug, Default)]
pub struct List {
    pub names: Vec<String>,
    /// Whether there are others, which the list does not have.
    pub has_more: bool,
    /// Why it could not be had.
    pub trouble: Option<String>,
    pub is_known: bool,
}

impl Model {
    pub fn new(board: BoardArgs, clock: Clock, has_color: bool, address: String, subject: Subject) -> Model {
        let mut model = Model {
            board,
            clock,
            has_color,
            address,
            subject,
            link: Link::Connecting,
            realtime: None,
            windows: Default::default(),
            popup: None,
            channels: List::default(),
            workspaces: List::default(),
            is_unheard: false,
        };
        if model.subject.workspace.is_empty() {
            model.popup = Some(Popup::Pick(Picker::workspaces()));
        }
        model
    }

    /// Other figures are wanted: those that are here are none of them.
    pub fn turn_to(&mut self, subject: Subject) {
        if subject.workspace != self.subject.workspace {
            self.channels = List::default();
        }
        self.subject = subject;
        self.link = Link::Connecting;
        self.realtime = None;
        self.windows = Default::default();
        self.is_unheard = false;
    }

    /// # Errors
    /// The news is that trying again cannot help.
    pub fn take(&mut self, news: News, now: Instant) -> Result<(), Failure> {
        match news {
            News::Realtime(told) => {
                self.link = Link::Live;
                self.is_unheard &= told.has_no_task();
                self.realtime = Some(At { told, at: now });
            }
            News::Lost { loss, pause } => self.link = Link::Lost { loss, again_at: now + pause },
            News::Window(at, happened) => {
                self.is_unheard &= happened == Happened::default();
                let window = &mut self.windows[at];
                (window.happened, window.is_stale) = (Some(happened), false);
            }
            News::Trend(at, trend) => self.windows[at].trend = trend,
            News::WindowLost(at) => self.windows[at].is_stale = true,
            News::NoWindow(at, note) => self.windows[at].note = Some(note),
            News::Channels(list) => {
                let channel = &self.subject.channel;
                let is_quiet = self.realtime.as_ref().is_none_or(|At { told, .. }| told.has_no_task());
                self.is_unheard = is_quiet && !channel.is_empty() && list.lacks(channel);
                self.channels = list.or(&self.channels);
            }
            News::Workspaces(list) => self.workspaces = list.or(&self.workspaces),
            News::Failed(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Whether the figures may be old.
    pub fn is_stale(&self) -> bool {
        matches!(self.link, Link::Lost { .. })
    }

    /// For how long the longest has waited by now; a wait that nobody hears of stands still.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let At { told, at } = self.realtime.as_ref()?;
        let age = told.longest.as_ref()?.age;
        Some(if self.is_stale() { age } else { age + now.saturating_duration_since(*at) })
    }

    /// The list that a picker chooses from.
    pub fn list(&self, of: &Picker) -> &List {
        if of.is_of_channels { &self.channels } else { &self.workspaces }
    }
}

impl List {
    /// Whether it has all names and this is none of them. Nothing is said of sids: the list has names alone.
    fn lacks(&self, name: &str) -> bool {
        let is_whole = self.is_known && !self.has_more && self.trouble.is_none();
        is_whole && !name.starts_with("TC") && !self.names.iter().any(|known| known == name)
    }

    /// What was known stays where there is nothing better.
    fn or(self, known: &List) -> List {
        if self.trouble.is_some() && known.is_known { known.clone() } else { self }
    }
}
