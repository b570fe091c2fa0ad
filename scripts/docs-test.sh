#!/usr/bin/env bash
# Runs what a page of docs/ tells its readers to type: the blocks marked `sh`, in their order, in one shell, in an empty
# directory, with a built binary (default: target/debug/tasktally) on the path. Ports are other than the page's, so that
# a server that runs already is not met.
#
#   scripts/docs-test.sh docs/taskrouter.md target/release/tasktally
set -euo pipefail
cd "$(dirname "$0")/.."
page=${1:-docs/taskrouter.md}
binary=$(realpath "${2:-${CARGO_TARGET_DIR:-target}/debug/tasktally}")
scripts/install-tools.sh
export PYTHONPATH=$PWD/.tools/python NODE_PATH=$PWD/.tools/node/node_modules PYTHONDONTWRITEBYTECODE=1
# The servers and clients talk on this machine only.
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

# free_port: one that nobody listens on now.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
served=$(free_port)
api=$(free_port)
collector=$(free_port)
dir=$(mktemp -d)
# What the page starts in the background ends with it, however it ends.
trap 'pkill -g 0 -f "^([^ ]*/)?(tasktally|rotel-agent) " || true; rm -rf "$dir"' EXIT

blocks=$(awk '/^```sh$/ { within = 1; next } /^```/ { within = 0 } within' "$page" |
  sed "s/127\.0\.0\.1:50051/127.0.0.1:$served/g; s/127\.0\.0\.1:50080/127.0.0.1:$api/g
    s/127\.0\.0\.1:4317/127.0.0.1:$collector/g")
[ -n "$blocks" ] || { echo "error: $page has no block marked sh" >&2; exit 1; }
mkdir "$dir/bin" "$dir/reader"
ln -s "$binary" "$dir/bin/tasktally"
export PATH=$dir/bin:$PATH TASKTALLY_LISTEN=127.0.0.1:$served TASKTALLY_ADDRESS=127.0.0.1:$served
cd "$dir/reader"
# Each command is shown as it runs, so that the last one shown is the one that failed.
code=0
timeout --foreground 300 bash -xeuo pipefail -c "$blocks" </dev/null || code=$?
if [ "$code" != 0 ]; then
  # None, if it was the first that failed.
  tail -n 5 "$dir"/reader/*.log 2>/dev/null || true
  echo "FAILED: $page (exit code $code)"
  exit 1
fi
echo "every block of $page ran"
