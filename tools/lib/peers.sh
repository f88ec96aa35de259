#!/usr/bin/env bash
# Puts HAProxy and nginx of Debian into the cache outside the checkout, for tools/bench: 3 MB to download. The packages
# themselves are not installed, for they bring servers that start. An interrupted run leaves nothing half done.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The last three are libraries of HAProxy that are seldom there; the others it needs are on every Debian.
PACKAGES=(haproxy nginx libnginx-mod-stream liblua5.3-0 libopentracing1 libopentracing-c-wrapper0)

target=$BYRNIE_CACHE/peers
[ ! -s "$target/versions" ] || exit 0

mkdir -p "$BYRNIE_CACHE"
rm -rf "$BYRNIE_CACHE"/peers.??????  # what an interrupted earlier run left
work=$(mktemp -d "$BYRNIE_CACHE/peers.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
say "Downloading HAProxy and nginx"
# download: apt-get checks what it gets against the signed index. It needs no root.
download() { (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "${PACKAGES[@]}"); }
download 2>/dev/null || { as_root apt-get -qq update && download; } ||
  die "apt-get could not download ${PACKAGES[*]}; check the network and the apt sources, then run again"
for package in "$work"/*.deb; do
  dpkg-deb --extract "$package" "$work/tree"
  # shellcheck disable=SC2016  # dpkg's own variables.
  dpkg-deb --show --showformat '${Package} ${Version}\n' "$package" >>"$work/tree/versions"
done
# One folder for libraries, whatever the architecture.
mkdir -p "$work/tree/libraries"
find "$work/tree/usr/lib" -path '*-linux-*' -name 'lib*.so*' -exec cp -P {} "$work/tree/libraries" \;
for program in haproxy nginx; do
  missing=$(LD_LIBRARY_PATH="$work/tree/libraries" ldd "$work/tree/usr/sbin/$program" | sed -n 's/ => not found//p')
  [ -z "$missing" ] || die "$program needs libraries that are not here: $missing"
done
chmod 755 "$work/tree"
rm -rf "$target"
mv "$work/tree" "$target"
