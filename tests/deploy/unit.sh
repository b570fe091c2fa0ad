#!/usr/bin/env bash
# The systemd unit: systemd-analyze's word on it, and a life in a machine that systemd boots for it: a container
# (systemd-nspawn) over this machine's system, which stays as it is. unit.sh BINARY, as root.
set -uo pipefail
cd "$(dirname "$0")/../.."
binary=$1
unit=deploy/systemd/tasktally.service
# Ten times the exposure that `systemd-analyze security` computes: 1.1 is what a service that listens has at least.
threshold=11

dir=$(mktemp -d)
trap 'umount -R "$dir" 2>/dev/null; rm -rf "$dir"' EXIT
mount -t tmpfs -o mode=0755 tmpfs "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/machine"
mount -t overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/machine" || {
  echo "FAILED  unit: no overlay over the system"
  exit 1
}
machine=$dir/machine
# What docs/deploy.md tells its readers to type, where they type it.
repository=$machine/srv/tasktally
mkdir -p "$repository/target/release"
install "$binary" "$repository/target/release/tasktally"
cp -r deploy "$repository/"
cp tests/deploy/unit-inside.sh "$machine/srv/"
page() { awk -v start="^\`\`\`sh $1\$" '$0 ~ start { within = 1; next } /^```/ { within = 0 } within' docs/deploy.md; }
page systemd >"$machine/srv/install.sh"
page systemd-tls >"$machine/srv/tls.sh"
# For systemd-analyze, before anything is installed by the page.
ln -s /srv/tasktally/target/release/tasktally "$machine/usr/bin/tasktally"
cp "$unit" "$machine/etc/systemd/system/"
# A machine of its own, also by name.
echo 0123456789abcdef0123456789abcdef >"$machine/etc/machine-id"

analyze() {
  local said=$1
  shift
  if chroot "$machine" systemd-analyze "$@" >"$dir/said" 2>&1 && ! grep -qi 'unknown\|failed\|ignoring' "$dir/said"; then
    echo "ok      unit: $said"
  else
    echo "FAILED  unit: $said"
    cat "$dir/said"
  fi
}
analyze "systemd-analyze verify finds nothing" verify tasktally.service
analyze "systemd-analyze security: exposure at most $threshold tenths" \
  security --offline=true --threshold=$threshold --no-pager /etc/systemd/system/tasktally.service

rm "$machine/usr/bin/tasktally" "$machine/etc/systemd/system/tasktally.service"
cat >"$machine/etc/systemd/system/tasktally-check.service" <<'UNIT'
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'bash /srv/unit-inside.sh >/srv/said 2>&1; systemctl --no-block poweroff'
UNIT
timeout 120 systemd-nspawn --quiet --directory "$machine" --boot --register=no --keep-unit --console=pipe --private-network \
  systemd.unit=tasktally-check.service </dev/null >"$dir/boot" 2>&1
cat "$machine/srv/said" 2>/dev/null || {
  echo "FAILED  unit: the machine did not boot"
  cat "$dir/boot"
}
