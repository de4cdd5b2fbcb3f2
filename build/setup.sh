#!/bin/sh
# Installs what a checkout needs: npm packages from the lockfile without install scripts, and the Debian packages
# nats-server and bubblewrap where they are missing and we may install them.
set -eu
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

if ! npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
  cat "$log" >&2
  echo "k8sclaw: npm ci failed; see above" >&2
  exit 1
fi

PATH=$PATH:/usr/sbin:/sbin
missing=
for tool in nats-server bwrap; do
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] && exit 0

packages=$(echo "$missing" | sed 's/bwrap/bubblewrap/')
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "k8sclaw: could not install$packages; install them yourself and try again" >&2
    exit 1
  fi
else
  case " $missing " in
    *" nats-server "*)
      echo "k8sclaw: nats-server is needed and missing: install it (Debian: apt-get install$packages) and try again" >&2
      exit 1 ;;
  esac
  echo "k8sclaw: bubblewrap is missing, so agents run with isolation: none; install it with apt-get install bubblewrap" >&2
fi
