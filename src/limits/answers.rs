//! Bounds of the answers, and of what answers are made from, that are kept for whoever asks next.

/// Views by task channel that a workspace keeps ready; the least recently asked for goes first.
pub const CACHED_CHANNEL_VIEWS: usize = 256;

/// Published real-time answers kept ready for readers, over the workspaces of one partition.
pub const CACHED_VIEWS: usize = 20_000;

/// Real-time answers over HTTP that are kept as they were written, and the largest one that is: 16 MiB in all.
pub const WRITTEN_ANSWERS: usize = 256;
pub const WRITTEN_ANSWER_BYTES: usize = 64 * 1024;

/// Series of the pasts that a partition keeps for whoever asks GetCumulative next, and of one: it is added up on a thread
/// of the calls, where nothing may take long. A past may hold 2 KiB beside what it shares with its workspace.
pub const KEPT_PASTS_WEIGHT: usize = 2_048;
pub const KEPT_PAST_SERIES: usize = 64;
