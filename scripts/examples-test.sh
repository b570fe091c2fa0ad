#!/usr/bin/env bash
# Builds the examples as their READMEs say, and runs them against a built binary (default: target/debug/tasktally, built
# first). What they need is pinned beside them. The last line says how many checks passed and failed.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-tools.sh

binary=${1:-}
if [ -z "$binary" ]; then
  cargo build
  binary=${CARGO_TARGET_DIR:-target}/debug/tasktally
fi
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 PYTHONDONTWRITEBYTECODE=1

python=.tools/examples/python
pins=$(sha256sum <examples/python/requirements.txt)
if [ "$pins" != "$(cat .tools/examples/pins 2>/dev/null)" ]; then
  rm -rf .tools/examples
  python3 -m pip install --quiet --no-input --disable-pip-version-check --root-user-action=ignore --no-deps \
    --no-warn-script-location --target "$python" --requirement examples/python/requirements.txt
  echo "$pins" >.tools/examples/pins
fi
PYTHONPATH=$PWD/$python examples/python/generate.sh
for example in node browser; do
  # As they are: none of the packages' install scripts runs.
  (cd "examples/$example" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run --silent build)
done

said=$(mktemp)
trap 'rm -f "$said"' EXIT
passed=0 failed=0
check() {
  local code=0 ok bad
  timeout 180 "$@" "$binary" 2>&1 | tee "$said" || code=$?
  ok=$(grep -c '^ok ' "$said" || true)
  bad=$(grep -c '^FAILED ' "$said" || true)
  [ "$code" = 0 ] || [ "$bad" -gt 0 ] || bad=1
  passed=$((passed + ok)) failed=$((failed + bad))
}
# The example's own packages first: what a reader installs is what is tried.
PYTHONPATH=$PWD/$python:$PWD/.tools/python check python3 tests/clients/python/examples.py
NODE_PATH=$PWD/.tools/browser/node_modules check node tests/clients/node/browser.js

echo "examples: $passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
