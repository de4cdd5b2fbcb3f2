#!/bin/sh
# Makes sure that the named tools are there: installs their Debian packages where we are root, otherwise says in one
# sentence what to install. `--optional` before a tool makes its absence a warning.
set -u
PATH=$PATH:/usr/sbin:/sbin
required= optional= kind=required
for word in "$@"; do
  case $word in
    --optional) kind=optional; continue ;;
  esac
  if ! command -v "$word" >/dev/null 2>&1; then
    case $word in bwrap) package=bubblewrap ;; nft) package=nftables ;; ip) package=iproute2 ;; unshare | nsenter) package=util-linux ;; /usr/lib/cni/*) package=containernetworking-plugins ;; *) package=$word ;; esac
    if [ $kind = optional ]; then optional="$optional $package"; else required="$required $package"; fi
  fi
  kind=required
done
[ -z "$required$optional" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  # shellcheck disable=SC2086
  if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $required $optional; } >"$log" 2>&1; then
    exit 0
  fi
  cat "$log" >&2
fi
[ -n "$optional" ] && echo "k8sclaw: missing and worth having:$optional (Debian: apt-get install$optional); without bubblewrap agents run with isolation: none" >&2
[ -z "$required" ] && exit 0
echo "k8sclaw: needed and missing:$required; install it (Debian: apt-get install$required) and try again" >&2
exit 1
