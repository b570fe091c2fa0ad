//! The pure state machine: what events mean.

mod duplicates;
mod history;
mod question;
mod totals;
mod varint;
mod window;

pub use duplicates::{Duplicates, Fingerprint};
pub use history::History;
pub use question::{
    ActivityRow, ChannelFilter, ChannelRow, Cumulative, LongestWaiting, Realtime, StatusCounts, WorkspaceRow,
};
pub use totals::{Figure, Sample, Split, Totals, Waits};
pub use varint::Damaged;
pub use window::{Window, WindowError};
