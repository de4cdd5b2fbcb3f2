#!/bin/sh
# Installs the npm packages of the lockfile, by their hashes, without install scripts. It is `npm install` rather than
# `npm ci`, because a registry may lack the optional packages of platforms that this one is not, and `npm ci` then refuses
# the whole lockfile.
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! npm install --no-save --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
  cat "$log" >&2
  echo "k8sclaw: npm install failed; see above" >&2
  exit 1
fi
