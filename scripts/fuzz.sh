#!/usr/bin/env bash
# Fuzzes the targets of fuzz/, each for a bounded time, on the stable toolchain.
#
#   scripts/fuzz.sh                    all targets, 15 s each
#   scripts/fuzz.sh wire batch         these
#   TASKTALLY_FUZZ_SECONDS=600 …       longer
#   TASKTALLY_FUZZ_SEED=1 …            the same inputs each time, as far as the time goes
#   TASKTALLY_FUZZ_RUNS=20000 …        and no more of them than these, however fast the machine is
#   TASKTALLY_FUZZ_JOBS=1 …            one at a time; otherwise as many as there are cores
#   scripts/fuzz.sh --lock             renews fuzz/Cargo.lock after Cargo.lock changed
#
# Where cargo-fuzz is installed, `RUSTC_BOOTSTRAP=1 TASKTALLY_FUZZ_TARGET=TARGET cargo fuzz run any fuzz/corpus/TARGET` does
# the same with libFuzzer's own options.
# An input that fails is kept in fuzz/artifacts/ and printed as base64. Put it into fuzz/corpus/TARGET/ under a name that
# says what it did; `cargo test --test fuzz` shows it again, and keeps it repaired.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1-}" = --lock ]; then
  # What both need is of one version: begin with the crate's own lock, add what only fuzzing needs.
  kept=$(mktemp)
  cp Cargo.lock "$kept"
  mv "$kept" fuzz/Cargo.lock
  cargo metadata --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null
  exit
fi

seconds=${TASKTALLY_FUZZ_SECONDS:-15}
seed=${TASKTALLY_FUZZ_SEED:-0}
most_runs=${TASKTALLY_FUZZ_RUNS:--1}
jobs=${TASKTALLY_FUZZ_JOBS:-$(nproc)}
host=$(rustc -vV | sed -n 's/^host: //p')
targets=("$@")
[ $# -gt 0 ] || for folder in fuzz/corpus/*/; do targets+=("$(basename "$folder")"); done

# As cargo-fuzz sets them, so that the two share what they build: coverage for libFuzzer, the address sanitizer, and debug
# assertions, so that an overflow is found where it happens. Not all are stable yet, hence RUSTC_BOOTSTRAP.
flags="-Cpasses=sancov-module"
for argument in level=4 inline-8bit-counters pc-table trace-compares; do
  flags+=" -Cllvm-args=-sanitizer-coverage-$argument"
done
flags+=" --cfg fuzzing -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Zsanitizer=address"
flags+=" -Cllvm-args=-sanitizer-coverage-stack-depth -Cdebug-assertions -Ccodegen-units=1"
started=$SECONDS
# With --target the flags are for the targets alone, not for build scripts and macros.
RUSTC_BOOTSTRAP=1 RUSTFLAGS=" $flags" cargo build --quiet --locked --release --manifest-path fuzz/Cargo.toml \
  --target "$host" --bin any
echo "built ${#targets[@]} targets in $((SECONDS - started)) s"

built=fuzz/target/$host/release/any
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT

# fuzz_one TARGET: in a corpus of its own, so that only what somebody chose comes into the repository. Inputs that take
# 10 s or 1 GiB are failures like any other.
fuzz_one() {
  local target=$1 code=0 artifacts=fuzz/artifacts/$1/
  mkdir -p "$found/$target.corpus" "$artifacts"
  TASKTALLY_FUZZ_TARGET=$target "$built" -max_total_time="$seconds" -runs="$most_runs" -seed="$seed" -timeout=10 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$artifacts" "$found/$target.corpus" "fuzz/corpus/$target" >"$found/$target.log" 2>&1 || code=$?
  if [ "$code" = 0 ]; then
    local runs features
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found/$target.log")
    features=$(grep -o 'ft: [0-9]*' "$found/$target.log" | tail -1)
    echo "$target: $runs runs in at most $seconds s, ${features:-nothing new}"
    return
  fi
  {
    echo "$target FAILED (exit code $code):"
    grep -A 2 ' panicked at ' "$found/$target.log" | head -n 6
    tail -n 40 "$found/$target.log" | cut -c1-400
    local input
    input=$(sed -n 's/.*Test unit written to //p' "$found/$target.log" | tail -1)
    if [ -f "$input" ]; then
      echo "to reproduce: base64 -d >input <<<'$(base64 -w0 "$input" | head -c 20000)'"
      echo "              TASKTALLY_FUZZ_TARGET=$target $built input      # or cp input fuzz/corpus/$target/ && cargo test --test fuzz"
    fi
  } >"$found/$target.report"
  cat "$found/$target.report"
}

running=0
for target in "${targets[@]}"; do
  if [ "$running" -ge "$jobs" ]; then
    wait -n
    running=$((running - 1))
  fi
  fuzz_one "$target" &
  running=$((running + 1))
done
wait
reports=("$found"/*.report)
[ ! -e "${reports[0]}" ] || {
  echo "${#reports[@]} of ${#targets[@]} targets failed"
  exit 1
}
echo "${#targets[@]} targets fuzzed, nothing found"
