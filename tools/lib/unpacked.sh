#!/usr/bin/env bash
# Puts one program of a Debian package, which is not installed, into the cache outside the checkout. An interrupted run leaves
# nothing half done.
#
#   tools/lib/unpacked.sh PACKAGE PATH WORD    PATH: in the package; WORD: with it the program ends at once with 0
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

package=$1 path=$2 word=$3
name=${path##*/}
target=$BYRNIE_CACHE/$name
[ ! -x "$target" ] || exit 0

mkdir -p "$BYRNIE_CACHE"
rm -rf "$BYRNIE_CACHE/$name".??????  # what an interrupted earlier run left
work=$(mktemp -d "$BYRNIE_CACHE/$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
say "Downloading $name from the Debian package $package"
# download: apt-get checks what it gets against the signed index. It needs no root.
download() { (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package"); }
download 2>/dev/null || { as_root apt-get -qq update && download; } ||
  die "apt-get could not download $package; check the network and the apt sources, then run again"
dpkg-deb --fsys-tarfile "$work/$package"_*.deb | tar -x -C "$work" "./$path"
"$work/$path" "$word" >/dev/null
mv "$work/$path" "$target"
