//! tasktally: exact statistics of a task router, durable and pushed.
pub mod api;
pub mod cli;
pub mod config;
pub mod engine;
pub mod event;
pub mod limits;
pub mod logging;
pub mod run;
pub mod simulate;
