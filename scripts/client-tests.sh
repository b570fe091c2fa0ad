#!/usr/bin/env bash
# Runs every real client in tests/clients against a built binary (default: target/debug/tasktally, built first), each
# on a server of its own on a free port. The last line says how many checks passed and failed.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/install-tools.sh || exit 1

binary=${1:-}
if [ -z "$binary" ]; then
  cargo build || exit 1
  binary=${CARGO_TARGET_DIR:-target}/debug/tasktally
fi
export PYTHONPATH=$PWD/.tools/python NODE_PATH=$PWD/.tools/node/node_modules PYTHONDONTWRITEBYTECODE=1
# The servers and clients talk on this machine only.
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

said=$(mktemp)
trap 'rm -f "$said"' EXIT
passed=0 failed=0
client() {
  timeout 180 "$@" "$binary" 2>&1 | tee "$said"
  local code=${PIPESTATUS[0]} ok bad
  ok=$(grep -c '^ok ' "$said")
  bad=$(grep -c '^FAILED ' "$said")
  # A client that died without saying so has failed, too.
  [ "$code" = 0 ] || [ "$bad" -gt 0 ] || bad=1
  passed=$((passed + ok)) failed=$((failed + bad))
}
client python3 tests/clients/python/grpcurl.py
client python3 tests/clients/python/reflected.py
client python3 tests/clients/python/health.py
client python3 tests/clients/python/access.py
client node tests/clients/node/grpcjs.js
client python3 tests/clients/python/taskrouter.py
client python3 tests/clients/python/signed.py
client python3 tests/clients/python/described.py
client python3 tests/clients/python/metrics.py
client python3 tests/clients/python/traces.py
client python3 tests/clients/python/terminal.py
client node tests/clients/node/taskrouter.js
NODE_PATH=$PWD/.tools/browser/node_modules client node tests/browser/wallboard.js

echo "clients: $passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
