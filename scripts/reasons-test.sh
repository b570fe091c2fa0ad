#!/usr/bin/env bash
# Every reason that an error can carry stands in README's table of status codes, and in docs/operations.md with what to do
# about it; so do those of refused events.
set -euo pipefail
cd "$(dirname "$0")/.."
# Statuses are made in these files. Names of one word look like many other things there, and are listed.
reasons=$(grep -rhoE '"[A-Z]+(_[A-Z]+)*"' src/api/status.rs src/server/*.rs | tr -d '"' | sort -u |
  grep -vxE 'OUT_DIR|CARGO_PKG_VERSION|[A-Z]+')
reasons="$reasons STARTING OVERLOADED INTERNAL"
events=$(sed -n 's/^  REJECTION_REASON_\([A-Z_]*\) = [1-9].*/\1/p' proto/tasktally/v1/ingest_service.proto)
[ "$(wc -w <<< "$reasons")" -ge 20 ] && [ "$(wc -w <<< "$events")" -ge 7 ] || { echo "error: no reasons found" >&2; exit 1; }
missing=0
want() {
  grep -qF "\`$2\`" "$1" || { echo "FAILED: $1 does not say what $2 means"; missing=1; }
}
for reason in $reasons; do
  want README.md "$reason"
  want docs/operations.md "$reason"
done
for reason in $events; do
  want docs/operations.md "$reason"
done
[ "$missing" = 0 ] && echo "$(wc -w <<< "$reasons $events") reasons are explained"
