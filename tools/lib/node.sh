#!/usr/bin/env bash
# Puts the Node packages that the interop tests use, at exact versions, into the cache outside the checkout, through npm and
# whatever registry it is configured for. Nothing is fetched when the cache has them; an interrupted run leaves nothing half done.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PACKAGES=(@grpc/grpc-js@1.12.6 @grpc/proto-loader@0.7.13)

target=$BYRNIE_CACHE/node
[ "$(cat "$target/installed" 2>/dev/null)" != "${PACKAGES[*]}" ] || exit 0

mkdir -p "$BYRNIE_CACHE"
rm -rf "$BYRNIE_CACHE"/node.??????  # what an interrupted earlier run left
work=$(mktemp -d "$BYRNIE_CACHE/node.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
say "Installing Node packages: ${PACKAGES[*]}"
npm install --prefix "$work" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts --silent "${PACKAGES[@]}" ||
  die "npm could not install: ${PACKAGES[*]}; check the network and npm's registry, then run again"
printf '%s\n' "${PACKAGES[*]}" >"$work/installed"
rm -rf "$target"
mv "$work" "$target"
trap - EXIT
