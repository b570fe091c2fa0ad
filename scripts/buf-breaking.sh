#!/usr/bin/env bash
# Holds the contract against that of the last landed main: `buf breaking` refuses what would break a client of it.
#
# The last landed main is origin/main where this commit is not on it yet, and otherwise the commit in .ci/landed. A
# commit of the history alone will not do: between two landings the contract may still move.
set -euo pipefail
cd "$(dirname "$0")/.."

base=
if theirs=$(git rev-parse -q --verify origin/main) && ! git merge-base --is-ancestor HEAD "$theirs"; then
  base=$(git merge-base HEAD "$theirs" || true)
  from="origin/main"
elif [ -f .ci/landed ]; then
  base=$(sed 's/#.*//' .ci/landed | tr -d '[:space:]')
  from=".ci/landed"
fi
if [ -z "$base" ]; then
  echo "not compared: no landed main before this one is known (neither origin/main nor .ci/landed names one)"
  exit
fi
if [ "$(git rev-parse --is-shallow-repository)" = true ] && ! git cat-file -e "$base^{commit}" 2>/dev/null; then
  echo "not compared: this clone is shallow and does not reach back to $base, which $from names"
  exit
fi
git cat-file -e "$base^{commit}" 2>/dev/null || {
  echo "error: $base, which $from names, is not in this clone" >&2
  exit 1
}
if ! git cat-file -e "$base:buf.yaml" 2>/dev/null; then
  echo "not compared: ${base:0:12} ($from) had no contract; this is v1's first landing"
  exit
fi

landed=$(mktemp -d)
trap 'rm -rf "$landed"' EXIT
git archive "$base" proto buf.yaml | tar -x -C "$landed"
.tools/bin/buf breaking --against "$landed"
echo "compatible with ${base:0:12} ($from)"
