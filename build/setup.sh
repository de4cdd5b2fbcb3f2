#!/bin/sh
# Installs the npm packages of the lockfile, without install scripts.
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
  cat "$log" >&2
  echo "k8sclaw: npm ci failed; see above" >&2
  exit 1
fi
