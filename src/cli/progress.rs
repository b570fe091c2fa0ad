//! Progress on standard error: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::say;

/// Time between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    on_terminal: bool,
    said: Instant,
    total: Option<u64>,
}

impl Progress {
    /// Towards `total`, where it is known; `unit` is indicatif's template for position and total.
    pub fn new(total: Option<u64>, unit: &str) -> Progress {
        let template = match total {
            Some(_) => format!("{{bar:30}} {{percent:>3}}% {unit} {{msg}}"),
            None => "{spinner} {elapsed} {msg}".to_owned(),
        };
        // The templates are ours; a wrong one shows as indicatif's own default.
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let on_terminal = io::stderr().is_terminal();
        let target = if on_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total, target).with_style(style);
        Progress { bar, on_terminal, said: Instant::now(), total }
    }

    /// Whether [`Progress::show`] would print now; saves composing a message that nobody sees.
    pub fn is_due(&self) -> bool {
        self.on_terminal || self.said.elapsed() >= PLAIN_EVERY
    }

    /// The total became known, or is another one.
    pub fn set_total(&mut self, total: u64) {
        self.total = Some(total);
        self.bar.set_length(total);
    }

    pub fn show(&mut self, position: u64, message: String) {
        if !self.is_due() {
            return;
        }
        if self.on_terminal {
            self.bar.set_position(position);
            self.bar.set_message(message);
            return;
        }
        self.said = Instant::now();
        match self.total.filter(|&total| total > 0) {
            Some(total) => say(format_args!("{}% {message}", position.min(total) * 100 / total)),
            None => say(message),
        }
    }

    /// Prints beside the bar without tearing it.
    pub fn beside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
