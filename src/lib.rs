//! tasktally: exact statistics of a task router, durable and pushed.
pub mod api;
pub mod engine;
pub mod event;
pub mod journal;
pub mod pipeline;
