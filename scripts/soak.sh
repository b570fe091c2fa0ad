#!/usr/bin/env bash
# Soaks the release build for so many minutes (default 5, of which the last four fifths are a single life of the server):
# tests/e2e_soak.rs, on a clock that runs 120 times as fast, so that a retention of an hour passes every 30 seconds.
# TASKTALLY_SOAK_BINARY takes another binary than target/release/tasktally; TASKTALLY_SOAK_SEED, _SPEED and _EVENTS are
# in the test. Growth is judged over whole hours of that clock: less than about 4 minutes are too short, and fail.
set -euo pipefail
cd "$(dirname "$0")/.."

export TASKTALLY_SOAK_MINUTES=${1:-5}
if [ -z "${TASKTALLY_SOAK_BINARY:-}" ]; then
  cargo build --release
  TASKTALLY_SOAK_BINARY=$(realpath "${CARGO_TARGET_DIR:-target}")/release/tasktally
fi
export TASKTALLY_SOAK_BINARY
# Of the test binary, the long run alone.
exec cargo test --test e2e_soak -- --ignored --nocapture
