//! The law: every answer is a pure function of (the set of accepted events, the request, now). It does not depend on
//! the order in which events arrived, on how they were batched, on how often each was sent, or on how often the process
//! ended and began anew in between. Held against the naive model, over random histories, at two levels: one workspace
//! of the engine, and a pipeline over a journal on disk.
//!
//! `TASKTALLY_LAW_CASES` says how many cases of each to try; a failure prints the smallest plan that shows it.

mod law {
    pub mod of_engine;
    pub mod of_pipeline;
}
mod support;

use proptest::test_runner::{Config, TestRunner};

/// So many cases by environment variable, or else the given number.
fn runner(cases: u32) -> TestRunner {
    let asked = std::env::var("TASKTALLY_LAW_CASES").ok();
    let cases = asked.map_or(cases, |cases| cases.parse().expect("TASKTALLY_LAW_CASES is a number"));
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() })
}
