//! From events to published answers, durably.
//!
//! Each partition is a share of the workspaces with one owner, a thread that nobody else's state is shared with.
//! Calls and questions come in as messages, values go out. A group of calls goes
//!
//! 1. **admit** (`partition.rs`, `admission.rs`): each event is accepted, a duplicate, or refused, once and for all;
//!    `growth.rs` and `ledger.rs` know whether a workspace and its account have room for what it adds;
//! 2. **append and sync** (`writer.rs`, `store.rs`): one commit for the groups of all partitions; its end is their
//!    revision;
//! 3. **apply** (`partition.rs`): the engine takes the events;
//! 4. **publish** (`topic.rs`, `shelf.rs`): the answers that somebody asked for are made anew;
//! 5. **reply**: now the caller hears that its events are on disk and in the statistics.
//!
//! `owner.rs` takes the turns of a partition, `handle.rs` is what the services hold, `recovery.rs` the way up after a
//! restart, `series.rs` answers for many intervals beside the owner, `pasts.rs` for one where nothing has changed since the
//! last such question, `keeper.rs` writes checkpoints and decides what the journal may drop. `machine.rs` puts these
//! together as parts that are moved on step by step and never wait; `start.rs` gives each a thread.
//!
//! What it counts of itself, for whoever reports it, is in `counted.rs`; `followed.rs` notes when a traced call's group
//! went through.
//!
//! A workspace is forgotten (`Partition::forget`) by a row of its own that goes the same way.
//!
//! Invariants:
//! - A partition has at most one group under way; while it is being synced, questions see the state before it.
//! - A position is passed (`passed.rs`) only after everything up to it is applied and published, so a reader that takes
//!   the position first and the answer second never claims more than it shows.

mod admission;
mod ask;
mod bytes;
mod caller;
mod clock;
mod copying;
mod counted;
mod followed;
mod group;
mod growth;
mod handle;
mod holdings;
mod keeper;
mod ledger;
mod machine;
pub mod offline;
mod owner;
mod partition;
mod passed;
mod pasts;
mod recent;
mod recovery;
#[doc(hidden)] // open for fuzz/
pub mod row;
mod series;
mod shelf;
mod space;
mod start;
mod store;
mod topic;
mod writer;

pub use admission::MOST_AHEAD_MS;
pub use ask::{
    AskError, CumulativeQuestion, ForgetError, Full, IngestError, Ingested, Patience, Refusal, SeriesQuestion, Stamped,
};
pub use caller::{Caller, CallerName, Role, Roles, Scope};
pub use clock::{Clock, SystemClock};
pub use copying::{CopyRefusal, Copying};
pub use counted::{Held, PROGRESS, Progress, Reading};
pub use growth::{AccountLimits, GrowthLimits};
pub use handle::{Pipeline, Submitted, partition_of};
pub use holdings::{ACTIVITIES, CHANNELS, Holdings, PRIORITIES, Part, Row, TASKS, WORKERS};
pub use keeper::{Keeper, Round};
pub use machine::{Machine, Settings, Step, Work};
pub use owner::LARGEST_CALL;
pub use recovery::{Recovered, RecoveryError, recover};
pub use series::least_bucket_s;
pub use space::free_bytes;
pub use start::{Running, start, start_ephemeral};
pub use store::{Chore, Ephemeral, JournalStore, Slice, Store};
pub use topic::Topic;
pub use writer::JournalHealth;
