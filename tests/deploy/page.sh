#!/usr/bin/env bash
# Runs what docs/deploy.md tells its readers to type for a container and for the chart, in a checkout, with stand-ins for
# `docker` (podman, with the stand-in for the base), `helm` (Helm's library) and, in the container's network, `tasktally`.
#
#   engine_dir=DIR page.sh BINARY, where tests/deploy/image.sh ran before, in the same mount namespace.
set -uo pipefail
cd "$(dirname "$0")/../.."
binary=$1
root=$PWD
# shellcheck source=tests/deploy/engine.sh
. tests/deploy/engine.sh

bin=$engine_dir/bin
mkdir -p "$bin"
ln -sf "$binary" "$bin/tasktally"
cat >"$bin/docker" <<DOCKER
#!/usr/bin/env bash
set -euo pipefail
engine=(podman ${engine_store[*]})
case \$1 in
  build)
    shift
    exec "\${engine[@]}" build --isolation chroot --format docker --build-arg RUST_IMAGE=localhost/base \\
      --build-context "build=$engine_dir/build" "\$@" ;;
  run)
    shift
    given=("--network" none "--no-healthcheck")
    while [ \$# -gt 0 ]; do
      # Nothing here publishes a port.
      if [ "\$1" = --publish ]; then shift; else given+=("\$1"); fi
      shift
    done
    exec "\${engine[@]}" run "\${given[@]}" ;;
  *) exec "\${engine[@]}" "\$@" ;;
esac
DOCKER
cat >"$bin/helm" <<HELM
#!/usr/bin/env bash
exec python3 $root/tests/deploy/helm4.py "\$@"
HELM
chmod +x "$bin/docker" "$bin/helm"

# page NAME: the blocks of that name, in one shell, in a checkout.
page() {
  local blocks
  blocks=$(awk -v start="^\`\`\`sh $1\$" '$0 ~ start { within = 1; next } /^```/ { within = 0 } within' docs/deploy.md)
  [ -n "$blocks" ] || return
  (cd "$engine_dir/checkout" && PATH=$bin:$PATH timeout 300 bash -xeuo pipefail -c "$blocks" </dev/null)
}
check() {
  local said=$1
  shift
  if "$@" >"$engine_dir/said-by-page" 2>&1; then echo "ok      page: $said"; else
    echo "FAILED  page: $said"
    tail -n 30 "$engine_dir/said-by-page"
  fi
}
rendered() { page helm && grep -q '^kind: StatefulSet$' "$engine_dir/checkout/manifests.yaml"; }

git clone --quiet . "$engine_dir/checkout" || exit
check "the commands for a container" page container
check "the commands for the chart" rendered
engine rm --all --force --time 0 >/dev/null 2>&1
