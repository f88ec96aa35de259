#!/usr/bin/env bash
# Puts BoringSSL's sources, at the revision the project names, into the cache outside the checkout.
# Two ways give the same tree: upstream's git host where it resolves, else the `chromium` source package
# of Debian, which carries it unchanged. Nothing is fetched when the cache already has it; everything is
# written under a temporary name and renamed, so an interrupted run leaves nothing half done.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tools/lib/source_package.sh
. "$(dirname "${BASH_SOURCE[0]}")/source_package.sh"

UPSTREAM_HOST=boringssl.googlesource.com
CHROMIUM_VERSION=150.0.7871.100-1~deb12u1
KEEP=(include crypto ssl gen third_party/fiat LICENSE)

target=$(boringssl_dir)
work=""
cleanup() { [ -z "$work" ] || rm -rf "$work"; }
trap cleanup EXIT
trap 'exit 130' INT TERM

# install_tree SOURCE: copies what the build needs and publishes it with one rename.
install_tree() {
  local source=$1 part staged
  [ -f "$source/gen/sources.bzl" ] || die "no gen/sources.bzl under $source: not a BoringSSL tree of revision $BORINGSSL_REVISION"
  staged=$(mktemp -d "$BYRNIE_CACHE/boringssl.XXXXXX")
  for part in "${KEEP[@]}"; do
    [ -e "$source/$part" ] || continue
    mkdir -p "$staged/$(dirname "$part")"
    cp -r "$source/$part" "$staged/$part"
  done
  # The overlay of the project replaces upstream's own BUILD files, which would split the tree into packages.
  find "$staged" \( -name BUILD -o -name BUILD.bazel -o -name WORKSPACE \) -delete
  cp "$BYRNIE_ROOT/bazel/boringssl.BUILD" "$staged/BUILD.bazel"
  printf 'workspace(name = "boringssl")\n' >"$staged/WORKSPACE"
  chmod 755 "$staged"
  rm -rf "$target"
  mv "$staged" "$target"
}

from_upstream() {
  getent hosts "$UPSTREAM_HOST" >/dev/null || { say "BoringSSL: $UPSTREAM_HOST does not resolve here"; return 1; }
  say "BoringSSL: fetching revision $BORINGSSL_REVISION from $UPSTREAM_HOST"
  git -c init.defaultBranch=main init -q "$work/git" &&
    git -C "$work/git" fetch -q --depth 1 "https://$UPSTREAM_HOST/boringssl" "$BORINGSSL_REVISION" &&
    git -C "$work/git" checkout -q FETCH_HEAD && install_tree "$work/git"
}

# chromium_versions: the pinned version first, then whatever else the index offers.
chromium_versions() {
  printf '%s\n' "$CHROMIUM_VERSION"
  source_apt indextargets >/dev/null
  source_cache showsrc --only-source chromium 2>/dev/null |
    sed -n 's/^Version: //p' | grep -vxF "$CHROMIUM_VERSION" || true
}

from_debian() {
  local version
  mkdir -p "$work/download" "$work/tree"
  say "BoringSSL: reading the index of Debian source packages"
  read_source_index || return 1
  while IFS= read -r version; do
    say "BoringSSL: downloading the source package chromium=$version (about 1 GB, once per machine)"
    if (cd "$work/download" && source_apt source --download-only --only-source "chromium=$version") >"$work/apt.log" 2>&1; then
      break
    fi
    say "BoringSSL: chromium=$version is not to be had: $(grep -m1 '^[EW]:' "$work/apt.log" || tail -n1 "$work/apt.log")"
    version=""
  done < <(chromium_versions)
  [ -n "${version:-}" ] || return 1
  say "BoringSSL: unpacking"
  local wanted=('*/third_party/boringssl/README.chromium') part
  for part in "${KEEP[@]}"; do wanted+=("*/third_party/boringssl/src/$part"); done
  xz -T0 -dc "$work"/download/chromium_*.orig.tar.xz | tar -x -C "$work/tree" --wildcards --strip-components=1 "${wanted[@]}"
  grep -q "$BORINGSSL_REVISION" "$work/tree/third_party/boringssl/README.chromium" ||
    say "warning: chromium=$version carries another BoringSSL revision: $(grep -m1 -i '^Revision' "$work/tree/third_party/boringssl/README.chromium")"
  install_tree "$work/tree/third_party/boringssl/src"
}

mkdir -p "$BYRNIE_CACHE"
rm -rf "$BYRNIE_CACHE"/boringssl.??????  # what an interrupted earlier run left

if [ -f "$target/gen/sources.bzl" ]; then
  cmp -s "$BYRNIE_ROOT/bazel/boringssl.BUILD" "$target/BUILD.bazel" ||
    cp "$BYRNIE_ROOT/bazel/boringssl.BUILD" "$target/BUILD.bazel"
  exit 0
fi

work=$(mktemp -d "$BYRNIE_CACHE/boringssl.XXXXXX")
if [ -n "${BORINGSSL_SOURCE_DIR:-}" ]; then
  say "BoringSSL: using BORINGSSL_SOURCE_DIR=$BORINGSSL_SOURCE_DIR"
  install_tree "$BORINGSSL_SOURCE_DIR"
elif from_upstream || from_debian; then
  :
else
  die "BoringSSL $BORINGSSL_REVISION could not be had: neither $UPSTREAM_HOST nor Debian's chromium source package answered. \
Check the network or the apt sources and run again, or set BORINGSSL_SOURCE_DIR to a checkout of that revision."
fi
say "BoringSSL: ready in $target"
