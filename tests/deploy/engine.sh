# Sourced by what runs containers: `engine` is podman with a store of its own in $engine_dir, in this shell's own mount
# namespace, where the control groups are version 2 alone, as crun wants them. Nothing of the machine's changes.
if [ "$(stat --file-system --format %T /sys/fs/cgroup)" != cgroup2fs ]; then
  umount --recursive /sys/fs/cgroup
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
# Neither control groups nor more open files than the machine's own limit: both want privileges that may be missing.
cat >"$engine_dir/containers.conf" <<CONF
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
CONF
# Else a build that is cut short leaves gigabytes in /var/tmp.
export TMPDIR=$engine_dir/tmp
mkdir -p "$TMPDIR"
export CONTAINERS_CONF=$engine_dir/containers.conf
engine_store=(--root "$engine_dir/store" --runroot "$engine_dir/run")
engine() { podman "${engine_store[@]}" "$@"; }
