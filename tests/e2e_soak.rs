//! The real binary for minutes, on a clock that runs fast: a simulated contact centre with duplicates, late and refused
//! events, watchers that come and go, questions, restarts, checkpoints and retention. All the time and at the end every
//! answer must be the naive model's; and once the retention has filled, nothing may grow.
//!
//! The first part of a run is restarts, by SIGTERM and by SIGKILL in turn; the second is one long life, over which
//! growth is judged; then everybody leaves, and what they held must be free; then more restarts.
//!
//! `scripts/soak.sh MINUTES` runs it on the release build. `TASKTALLY_SOAK_MINUTES`, `TASKTALLY_SOAK_BINARY`,
//! `TASKTALLY_SOAK_EVENTS` (a second), `TASKTALLY_SOAK_SPEED` (of the clock) and `TASKTALLY_SOAK_SEED` set what it does.

mod common;
mod soak;
mod support;

use soak::run::{Plan, Run};

#[test]
#[ignore = "takes minutes; scripts/soak.sh runs it on the release build"]
fn a_long_run_answers_as_the_model_and_grows_in_nothing() {
    Run::begin(Plan::from_environment()).carry_out();
}

#[test]
fn a_short_run_answers_as_the_model() {
    Run::begin(Plan::short()).carry_out();
}
