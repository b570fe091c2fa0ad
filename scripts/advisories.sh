#!/usr/bin/env bash
# The snapshot of the RustSec advisory database in supply-chain/advisories: the advisories of the crates in our two lock
# files, and the names of all crates that had one on that day, so that a crate added later is known to be covered or not.
#
#   scripts/advisories.sh lay FOLDER     lays it out as the clone that cargo-deny expects, without a network
#   scripts/advisories.sh renew CLONE    takes it anew from a clone of the database, for today's lock files
set -euo pipefail
cd "$(dirname "$0")/.."
snapshot=supply-chain/advisories

crates() {
  sed -n 's/^name = "\(.*\)"/\1/p' Cargo.lock fuzz/Cargo.lock | sort -u
}

lay() {
  local folder=$1
  rm -rf "$folder"
  mkdir -p "$folder"
  cp -r "$snapshot/crates" "$folder/"
  local day
  day=$(sed -n 's/^day: *//p' "$snapshot/SNAPSHOT")
  git -C "$folder" init --quiet --initial-branch=main
  git -C "$folder" add .
  GIT_AUTHOR_DATE="$day 12:00:00 +0000" GIT_COMMITTER_DATE="$day 12:00:00 +0000" git -C "$folder" \
    -c user.name=snapshot -c user.email=snapshot@localhost -c commit.gpgsign=false commit --quiet -m "snapshot of $day"
  # The tools read the day of the data from here.
  git -C "$folder" rev-parse HEAD >"$folder/.git/FETCH_HEAD"
}

renew() {
  local clone=$1 commit name
  commit=$(git -C "$clone" rev-parse HEAD)
  rm -rf "$snapshot/crates"
  git -C "$clone" ls-tree --name-only HEAD crates/ | sed 's|^crates/||' | sort >"$snapshot/names"
  crates | comm -12 - "$snapshot/names" | while read -r name; do
    git -C "$clone" archive HEAD "crates/$name" | tar -x -C "$snapshot"
  done
  {
    echo "day: $(git -C "$clone" show -s --format=%cs HEAD)"
    echo "commit: $commit"
  } >"$snapshot/SNAPSHOT"
  find "$snapshot/crates" -name '*.md' | wc -l | sed 's/$/ advisories/'
}

case ${1-} in
  lay | renew) "$@" ;;
  *)
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
