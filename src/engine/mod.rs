//! The pure state machine: what events mean.
//!
//! [`Workspace::apply`] takes an event, the questions of [`Workspace`] answer. No I/O, no clock (`now` is an argument),
//! no locks. Files by question: `tasks/` says which tasks are active and since when one waits, `workers.rs` who is
//! there and doing what, `channels.rs` which channels there are, `history/` what happened in an interval, `past.rs` the
//! same apart from the workspace, for many intervals at leisure, `duplicates/` whether an event is known, `window.rs`
//! which interval is meant, `image.rs` a workspace as bytes. What may come to be millions lies in `parted.rs`, by key, and
//! in `agenda.rs`, by moment.
//!
//! The law: every answer is a function of (the set of accepted events, the question, `now`). Each part is a join of
//! facts, so the order of arrival, batching and restarts cannot show; `tests/law.rs` holds it against a naive model.

mod agenda;
mod channels;
mod duplicates;
mod history;
mod image;
mod parted;
mod past;
mod place;
mod question;
mod table;
mod tasks;
mod totals;
mod varint;
mod window;
mod workers;
mod workspace;

pub use duplicates::{Duplicates, Fingerprint};
pub use history::History;
pub use image::CarryPart;
pub use past::Past;
pub use question::{
    ActivityRow, ChannelFilter, ChannelRow, Cumulative, LongestWaiting, Realtime, StatusCounts, WorkspaceRow,
};
pub use table::{Table, TableSet};
pub use tasks::{Fact, SETTLED_AFTER_MS};
pub use totals::{Figure, Sample, Split, Totals, Waits};
pub use varint::Damaged;
pub use window::{Window, WindowError};
pub use workspace::{Size, Workspace, Workspaces};
