#!/usr/bin/env bash
# The alerts and the dashboard of deploy/, with Prometheus itself: promtool checks and tests the rules; then a server with a
# built binary (default: target/debug/tasktally) runs under a simulated centre, is scraped, and every query of the dashboard
# has to return data. Ports are free ones, folders temporary; about half a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-tools.sh
binary=${1:-${CARGO_TARGET_DIR:-target}/debug/tasktally}
export PYTHONPATH=$PWD/.tools/python:$PWD/tests/clients/python PYTHONDONTWRITEBYTECODE=1
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

promtool=.tools/prometheus/usr/bin/promtool
"$promtool" --version 2>&1 | head -n 1
"$promtool" check rules deploy/prometheus/tasktally.rules.yml
(cd deploy/prometheus && "../../$promtool" test rules tasktally.test.yml)
timeout 180 python3 tests/observe/observed.py "$binary" .tools/prometheus/usr/bin
