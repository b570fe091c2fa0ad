//! Settings of `tasktally watch`. Those that the wallboard has, too, have its names and its usual values.

use std::time::Duration;

use clap::{Args, value_parser};

use crate::cli::args::{ConnectionArgs, DisplayArgs, SubjectArgs};
use crate::cli::failure::Failure;
use crate::config::duration_within;
use crate::limits;

#[derive(Args, Clone, Debug)]
#[command(after_help = ABOUT)]
pub struct WatchArgs {
    #[command(flatten)]
    pub subject: SubjectArgs,

    /// Least time between two updates.
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = interval)]
    pub min_interval: Duration,

    /// Longest time without an update; a quiet server repeats the state at this pace. Nothing for three times as long and
    /// a second counts as a broken connection: so long does a dead server look alive.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = heartbeat)]
    pub heartbeat: Duration,

    /// A line for each update on a terminal, too.
    #[arg(long)]
    pub plain: bool,

    #[command(flatten)]
    pub board: BoardArgs,
    #[command(flatten)]
    pub display: DisplayArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// What the board of a terminal shows, and when it turns colour.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Board")]
pub struct BoardArgs {
    /// What stands above the figures.
    #[arg(long, value_name = "TEXT", default_value = "tasktally")]
    pub title: String,

    /// Service level: an acceptance within so many seconds is good service.
    #[arg(long, value_name = "SECONDS", default_value_t = limits::WALLBOARD_WITHIN_S,
        value_parser = value_parser!(u32).range(1..=i64::from(limits::WALLBOARD_WITHIN_MOST_S)))]
    pub within: u32,

    /// Service level: the percentage that is good enough.
    #[arg(long, value_name = "PERCENT", default_value_t = limits::WALLBOARD_TARGET_PERCENT,
        value_parser = value_parser!(u8).range(0..=100))]
    pub target: u8,

    /// Longest wait: a warning from so many seconds on.
    #[arg(long, value_name = "SECONDS", default_value_t = limits::WALLBOARD_WARN_S,
        value_parser = value_parser!(u32).range(1..=i64::from(limits::WALLBOARD_WAIT_MOST_S)))]
    pub warn: u32,

    /// Longest wait: an alarm from so many seconds on.
    #[arg(long, value_name = "SECONDS", default_value_t = limits::WALLBOARD_ALARM_S,
        value_parser = value_parser!(u32).range(1..=i64::from(limits::WALLBOARD_WAIT_MOST_S)))]
    pub alarm: u32,
}

impl BoardArgs {
    /// # Errors
    /// The warning would come after the alarm.
    pub fn check(&self) -> Result<(), Failure> {
        let BoardArgs { warn, alarm, .. } = self;
        if warn > alarm {
            let words = format!("the warning cannot come after the alarm: --warn {warn} is more than --alarm {alarm}");
            return Err(Failure::Usage(words));
        }
        Ok(())
    }
}

const ABOUT: &str = "\
On a terminal of at least 60 columns and 20 rows this is a board: tasks, the longest wait, workers, and the last 15 minutes, \
4 hours and 8 hours with their trends. The server pushes everything; nothing is polled.

Keys of the board:
  q, Esc, Ctrl-C   end
  ?                help
  c                choose a task channel; Left and Right go to the next one
  w                choose a workspace
  Ctrl-Z, Ctrl-L   suspend (fg brings it back), paint anew

When the connection breaks, the last figures stay, dimmed, with the time up to which they are true, and the board tries \
again until they are live. It ends by itself only where trying again cannot help: credentials that are not good, a workspace \
that is not there, a request that is bad. Without WORKSPACE_SID the server must answer at the beginning: where it does not, \
this ends with exit code 4, while with one it waits for its server.

Where standard output is no terminal, TERM is dumb, or with --plain or --output json, each update is a line. Colours are \
those of the terminal; with NO_COLOR set there are none. The board listens to four streams (of --max-watchers of the \
server), lines to one.";

fn interval(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::WATCH_MIN_INTERVAL_MIN, limits::WATCH_INTERVAL_MAX)
}

fn heartbeat(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::WATCH_HEARTBEAT_MIN, limits::WATCH_INTERVAL_MAX)
}
