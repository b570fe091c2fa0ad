//! The full-screen view of `tasktally watch`. What it shares with the wallboard is named after that.

use std::time::Duration;

/// Percent of the service level that is good enough, where none is given.
pub const WALLBOARD_TARGET_PERCENT: u8 = 80;

/// Seconds of the longest wait from which on it is a warning, and an alarm, and the most that they may be.
pub const WALLBOARD_WARN_S: u32 = 60;
pub const WALLBOARD_ALARM_S: u32 = 180;
pub const WALLBOARD_WAIT_MOST_S: u32 = 24 * 60 * 60;

/// Time between two paintings without news: a wait turns its second at most so much late.
pub const TERMINAL_TICK: Duration = Duration::from_millis(200);

/// News on their way from the streams to the screen; while a terminal takes no more, the streams wait, and the server
/// skips states.
pub const TERMINAL_NEWS: usize = 64;

/// Keys that wait to be looked at.
pub const TERMINAL_KEYS: usize = 64;

/// Letters of a name that can be shown at all: more than the widest terminal has room for.
pub const TERMINAL_NAME_LETTERS: usize = 256;

/// How long an end may take before the process ends as it is: a terminal that takes nothing more must not keep it.
pub const TERMINAL_END: Duration = Duration::from_secs(2);
