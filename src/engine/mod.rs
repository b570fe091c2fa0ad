//! The pure state machine: what events mean.

mod question;
mod totals;
mod window;

pub use question::{
    ActivityRow, ChannelFilter, ChannelRow, Cumulative, LongestWaiting, Realtime, StatusCounts, WorkspaceRow,
};
pub use totals::{Figure, Sample, Split, Totals, Waits};
pub use window::{Window, WindowError};
