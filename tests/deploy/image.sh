#!/usr/bin/env bash
# The Dockerfile: linted by hadolint, built by buildah, and its image run by podman. The registry of its base is out of
# reach, so a Debian that debootstrap made stands in for it; and where the stage that compiles is not to run (without
# FULL=1), the binary is laid in its place.
#
#   engine_dir=DIR image.sh BINARY BASE, as root in a mount namespace of its own; BASE: debootstrap's folder.
# Leaves the image as localhost/tasktally:test in the store in DIR.
set -uo pipefail
cd "$(dirname "$0")/../.."
binary=$1 base=$2
# shellcheck source=tests/deploy/engine.sh
. tests/deploy/engine.sh
image=localhost/tasktally:test

check() {
  local said=$1
  shift
  if "$@" >"$engine_dir/said" 2>&1; then echo "ok      image: $said"; else
    echo "FAILED  image: $said"
    tail -n 30 "$engine_dir/said"
  fi
}

is_lint_free() { "$HADOLINT" --failure-threshold style Dockerfile; }

pins_its_base() {
  grep -qE '^ARG RUST_IMAGE=rust:[0-9.]+-slim-[a-z]+@sha256:[0-9a-f]{64}$' Dockerfile && rustc --version &&
    [ "$(rustc --version | cut -d' ' -f2)" = "$(sed -n 's/^ARG RUST_IMAGE=rust:\([0-9.]*\)-.*/\1/p' Dockerfile)" ]
}

stands_in() {
  tar --create --directory "$base" . | engine import --quiet --change ENV=RUSTUP_HOME=/usr/local/rustup \
    --change ENV=CARGO_HOME=/usr/local/cargo --change ENV=PATH=/usr/local/cargo/bin:/usr/sbin:/usr/bin - localhost/base
}

# build TAG [FLAGS...]: as `docker build .` would, with the stand-in.
build() {
  local tag=$1
  shift
  buildah "${engine_store[@]}" build --quiet --isolation chroot --format docker --no-cache \
    --build-arg RUST_IMAGE=localhost/base --build-arg SOURCE_DATE_EPOCH="$epoch" --timestamp "$epoch" \
    "${instead[@]}" "$@" --tag "$tag" .
}
epoch=$(git log -1 --format=%ct 2>/dev/null || echo 0)
# The rustup of this machine where the base of the Dockerfile has its own; a Rust of the same version, which is checked.
instead=(--volume "${CARGO_HOME:-$HOME/.cargo}:/usr/local/cargo" --volume "${RUSTUP_HOME:-$HOME/.rustup}:/usr/local/rustup")
if [ "${FULL:-0}" != 1 ]; then
  mkdir -p "$engine_dir/build/out"
  strip --strip-debug -o "$engine_dir/build/out/tasktally" "$binary"
  instead=(--build-context "build=$engine_dir/build")
fi

# The context is what the stage `build` copies; cargo must find every target of the manifest in it, and nobody a secret.
lets_in_the_sources() {
  printf 'FROM scratch\nCOPY . /\n' >"$engine_dir/Context"
  buildah "${engine_store[@]}" build --quiet --isolation chroot --file "$engine_dir/Context" --tag localhost/context . &&
    local container folder &&
    container=$(buildah "${engine_store[@]}" from --pull-never localhost/context) &&
    folder=$(buildah "${engine_store[@]}" mount "$container") || return
  ls -A "$folder"
  [ "$(ls -A "$folder" | sort | tr '\n' ' ')" = "Cargo.lock Cargo.toml benches build.rs proto src " ] &&
    cargo metadata --quiet --offline --locked --no-deps --format-version 1 --manifest-path "$folder/Cargo.toml" >/dev/null &&
    diff --recursive src "$folder/src" && diff --recursive proto "$folder/proto" &&
    # What the sources take in at compile time lies among them, or is made by build.rs.
    ! grep -rnE 'include_(str|bytes)!\(.*(\.\./\.\./|MANIFEST_DIR)' src build.rs --include '*.rs' | grep -v /tests
}

is_reproducible() {
  build localhost/tasktally:again || return
  # Every byte of the files, and everything that is said of them; an image's id also has the ids of intermediate ones.
  local form='{{.RootFS.Layers}} {{json .Config}} {{.Created}}'
  engine inspect --format "$form" "$image" localhost/tasktally:again
  [ "$(engine inspect --format "$form" "$image")" = "$(engine inspect --format "$form" localhost/tasktally:again)" ]
}

is_small() {
  local bytes
  bytes=$(engine inspect --format '{{.Size}}' "$image")
  echo "$bytes bytes"
  [ "$bytes" -lt 40000000 ]
}

holds_nothing_else() {
  local folder container
  container=$(engine create --network none "$image") && folder=$(engine mount "$container") || return
  (cd "$folder" && find . -type f | sort)
  (cd "$folder" && [ -z "$(find . -type f -perm /0111 | grep -vE '^\./(usr/bin/tasktally|lib.*\.so.*)$')" ]) &&
    [ -z "$(find "$folder" -perm /6000)" ] && [ ! -e "$folder/bin/sh" ] &&
    grep -q '^Package: libc6$' "$folder/var/lib/dpkg/status.d/libc6" &&
    [ "$(stat -c '%u:%g %a' "$folder/var/lib/tasktally")" = "65532:65532 700" ] &&
    engine rm --force "$container"
}

declares() {
  engine inspect "$image" >"$engine_dir/inspect"
  [ "$(engine inspect --format '{{.Config.User}} {{.Config.StopSignal}}' "$image")" = "65532:65532 SIGTERM" ] &&
    grep -q '"healthcheck"' "$engine_dir/inspect"
}

until_true() {
  local end=$((SECONDS + 20))
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

# No timers without systemd, so the check is run by hand; the command is the image's own. Its warnings are of the timers.
run() {
  engine run --detach --name tally --network none --read-only --cap-drop all --security-opt no-new-privileges \
    --volume tally:/var/lib/tasktally --env TASKTALLY_ALLOW_UNAUTHENTICATED=true "$image"
}
is_healthy() {
  run && until_true engine healthcheck run tally
}
inside() { nsenter --net="/proc/$(engine inspect --format '{{.State.Pid}}' tally)/ns/net" "$@"; }
is_closed() {
  local status
  status=$(cat "/proc/$(engine inspect --format '{{.State.Pid}}' tally)/status")
  echo "$status"
  grep -qP '^Uid:\t65532\t' <<<"$status" && grep -qP '^CapBnd:\t0+$' <<<"$status" && grep -qP '^Seccomp:\t2' <<<"$status"
}
takes_events() { inside "$binary" simulate --backfill 5m && inside "$binary" get; }
stops_and_keeps() {
  local before after
  before=$(inside "$binary" get --output json | sed 's/,"revision".*//')
  engine stop --time 30 tally && [ "$(engine inspect --format '{{.State.ExitCode}}' tally)" = 0 ] &&
    engine rm tally && is_healthy && after=$(inside "$binary" get --output json | grep -c WS) &&
    [ -n "$before" ] && [ "$after" -gt 0 ] && engine rm --force --time 30 tally
}
# For the page's build, which is not to compile again.
leaves_the_binary() {
  local container
  mkdir -p "$engine_dir/build/out" && container=$(engine create --network none "$image") &&
    engine cp "$container:/usr/bin/tasktally" "$engine_dir/build/out/tasktally" && engine rm "$container"
}

check "hadolint finds nothing" is_lint_free
check "the base is pinned by version and digest, and its Rust is the one that CI has" pins_its_base
check "a base made by debootstrap stands in for it" stands_in
check "the context is the sources, whole, and nothing else" lets_in_the_sources
check "buildah builds it" build "$image"
check "a second build gives the same image" is_reproducible
check "smaller than 40 MB" is_small
check "one program, its libraries, no shell" holds_nothing_else
check "says its user, its signal and its check" declares
check "runs read-only and without capabilities; its own HEALTHCHECK finds it healthy" is_healthy
check "as nobody of the machine, under a filter of system calls" is_closed
check "takes events and answers" takes_events
check "stops within the time, and has everything at the next start" stops_and_keeps
if [ "${FULL:-0}" = 1 ]; then
  check "the compiled binary can be taken out" leaves_the_binary
fi
