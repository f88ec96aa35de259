#!/usr/bin/env bash
# Puts `promtool` of Debian's package prometheus into the cache outside the checkout: 20 MB to download, 48 MB kept. The
# package itself is not installed, for it brings a server that starts, and 330 MB with what it depends on. An interrupted run
# leaves nothing half done.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

target=$BYRNIE_CACHE/promtool
[ ! -x "$target" ] || exit 0

mkdir -p "$BYRNIE_CACHE"
rm -rf "$BYRNIE_CACHE"/promtool.??????  # what an interrupted earlier run left
work=$(mktemp -d "$BYRNIE_CACHE/promtool.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
say "Downloading promtool from the Debian package prometheus"
# download: apt-get checks what it gets against the signed index. It needs no root.
download() { (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download prometheus); }
download 2>/dev/null || { as_root apt-get -qq update && download; } ||
  die "apt-get could not download prometheus; check the network and the apt sources, then run again"
dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" ./usr/bin/promtool
"$work/usr/bin/promtool" --version >/dev/null
mv "$work/usr/bin/promtool" "$target"
