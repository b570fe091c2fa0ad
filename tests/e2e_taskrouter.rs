//! TaskRouter's forms as a whole: a day of events sent in each of them means the same.

mod common;
#[path = "taskrouter/day.rs"]
mod day;
