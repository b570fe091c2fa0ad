#!/usr/bin/env bash
# Puts the peers into .tools/peers (not in git; some 700 MB), pinned by hash. Does nothing where they are there already.
set -euo pipefail
cd "$(dirname "$0")/../.."

pins=$(python3 --version | cat - "$0" benches/peers/requirements.txt | sha256sum)
if [ "$pins" = "$(cat .tools/peers/pins 2>/dev/null)" ]; then
  exit
fi
echo "installing PostgreSQL, DuckDB and chdb into .tools/peers" >&2
rm -rf .tools/peers
mkdir -p .tools/peers
# A folder of its own needs no virtual environment; chdb's data frames, which would need pandas, are not used.
python3 -m pip install --quiet --no-input --disable-pip-version-check --root-user-action=ignore --no-deps \
  --no-compile --only-binary :all: --no-warn-script-location --target .tools/peers --require-hashes \
  --requirement benches/peers/requirements.txt
echo "$pins" >.tools/peers/pins
