#!/usr/bin/env bash
# What we build on, held against deny.toml: advisories (by the snapshot in supply-chain/), licences, duplicates, sources;
# that the lock files are what a build takes; and that a release holds what it should and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

# The folder's name is cargo-deny's own for the database's address.
scripts/advisories.sh lay .tools/advisory-dbs/advisory-db-3157b0e258782691
sed 's/^/advisories of /' supply-chain/advisories/SNAPSHOT
for manifest in Cargo.toml fuzz/Cargo.toml; do
  echo "-- $manifest"
  cargo fetch --quiet --locked --manifest-path "$manifest"
  .tools/bin/cargo-deny --manifest-path "$manifest" --offline --locked --config deny.toml check
done

# A release is the sources, the contract and what people read; no test, no tool, no data.
echo "-- what a release holds"
odd=$(cargo package --list --allow-dirty --locked | grep -vE '^(src|proto)/[A-Za-z0-9_/]+\.(rs|proto)$' |
  grep -vxE 'src/http/openapi\.json|proto/tasktally\.v1\.binpb|src/wallboard/assets/[a-z]+\.(html|css|js|svg)|docs/[a-z]+\.md|Cargo\.(toml|toml\.orig|lock)|\.cargo_vcs_info\.json|build\.rs|README\.md|CHANGELOG\.md|SECURITY\.md|LICENSE' || true)
if [ -n "$odd" ]; then
  printf 'cargo package would take along:\n%s\n' "$odd"
  exit 1
fi
cargo package --list --allow-dirty --locked | wc -l | sed 's/$/ files, nothing odd/'
