#!/usr/bin/env bash
# Puts a published schema of Kubernetes' objects and an interpreter of CEL, at exact versions, into the cache outside the checkout,
# through npm and whatever registry it is configured for: 0.7 MB to download. Injected pods are checked against the one, the policy for
# privileges is run by the other: both are newer than any API server that the tests can start. An interrupted run leaves nothing half
# done.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Without what the schemas depend on, some forty packages: they need of those the formats of numbers and texts alone, which
# test/testing/kubernetes_schema.py brings.
PACKAGES=(kubernetes-models@5.1.0 @kubernetes-models/apimachinery@3.0.2 @marcbachmann/cel-js@8.0.0)

target=$BYRNIE_CACHE/kubernetes-models
[ "$(cat "$target/installed" 2>/dev/null)" != "${PACKAGES[*]}" ] || exit 0

mkdir -p "$BYRNIE_CACHE"
rm -rf "$BYRNIE_CACHE"/kubernetes-models.??????  # what an interrupted earlier run left
work=$(mktemp -d "$BYRNIE_CACHE/kubernetes-models.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
say "Downloading Node packages: ${PACKAGES[*]}"
for package in "${PACKAGES[@]}"; do
  archive=$(cd "$work" && npm pack --silent "$package") ||
    die "npm could not download $package; check the network and npm's registry, then run again"
  mkdir -p "$work/node_modules/${package%@*}"
  tar -xzf "$work/$archive" -C "$work/node_modules/${package%@*}" --strip-components=1 --no-same-owner
  rm "$work/$archive"
done
printf '%s\n' "${PACKAGES[*]}" >"$work/installed"
rm -rf "$target"
mv "$work" "$target"
trap - EXIT
