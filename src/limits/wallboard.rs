//! The wallboard, and the sessions of those who look at it.

use std::time::Duration;

/// Sessions of browsers, some 300 bytes each: every screen of a large centre.
pub const SESSIONS: usize = 1_000;

/// One name of a credential has one in so many of them: whoever has its token must not take the others' places.
pub const SESSIONS_SHARE: usize = 10;

/// Bytes of the file that keeps them over a restart, far more than the most of them fill.
pub const SESSIONS_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Life of a session. A screen on a wall has nobody to sign in each morning, and its session reads only.
pub const SESSION_LIFE_MIN: Duration = Duration::from_secs(60);
pub const SESSION_LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Bytes of a body that shows a token: twice the longest signed token that would fit into a header.
pub const SIGN_IN_BYTES: usize = 32 * 1024;

/// Workspaces, and channels of one, that the page offers to choose from; others are reached by its address.
pub const WALLBOARD_CHOICES: usize = 500;

/// Time between two messages to a page: a third of the silence after which it takes its connection for broken.
pub const WALLBOARD_HEARTBEAT: Duration = Duration::from_secs(2);

/// Least time between two looks at the windows of a board: three windows and their 60 buckets, of microseconds each.
pub const WALLBOARD_WINDOWS_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two of them while nothing is accepted, and events only leave the windows.
pub const WALLBOARD_QUIET_INTERVAL: Duration = Duration::from_secs(5);

/// Seconds within which an acceptance is good service, where none are given, and the most that may be.
pub const WALLBOARD_WITHIN_S: u32 = 20;
pub const WALLBOARD_WITHIN_MOST_S: u32 = 24 * 60 * 60;
