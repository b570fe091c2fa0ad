# Sourced by .ci/run and .ci/full: sections with a header and a time, the first failure ends the run.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export CI=${CI:-true} CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0

begun=$SECONDS
times=()
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT

# section NAME COMMAND...: runs it, within what is left of $limit_s.
section() {
  local name=$1 start=$SECONDS code
  shift
  echo
  echo "== $name: $*"
  timeout --kill-after=10 "$((limit_s - (SECONDS - begun)))" "$@" 2>&1 | tee "$said/$name"
  code=${PIPESTATUS[0]}
  times+=("$(printf '%5d s  %s' "$((SECONDS - start))" "$name")")
  echo "== $name took $((SECONDS - start)) s"
  [ "$code" = 0 ] && return
  [ "$code" = 124 ] && echo "the limit of $limit_s s for the whole run is used up"
  echo "FAILED: $name (exit code $code)"
  exit 1
}

# What each section took, cargo's own summaries, and their sum.
summary() {
  echo
  echo "== summary"
  printf '%s\n' "${times[@]}"
  printf '%5d s  in all\n' "$((SECONDS - begun))"
  tail -qn 1 "$said/clients" "$said/deploy" 2>/dev/null
  # The section `test` runs every test; the sections of single ones would count them again.
  local counted=("$said"/*)
  [ -f "$said/test" ] && counted=("$said/test")
  grep -h '^test result: ' "${counted[@]}"
  sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed; \([0-9]*\) ignored.*/\1 \2 \3/p' "${counted[@]}" |
    awk '{ p += $1; f += $2; i += $3 } END { printf "cargo test: %d passed, %d failed, %d ignored\n", p, f, i }'
}
