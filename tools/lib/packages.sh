#!/usr/bin/env bash
# Installs the Debian packages the build and the tests need, and only those that are missing.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

BUILD_PACKAGES=(
  bazel-bootstrap bazel-platforms bazel-rules-java bazel-rules-proto ca-certificates g++ git xz-utils
  libabsl-dev libboost-dev libgmock-dev libgrpc++-dev libgtest-dev libnftables-dev libnghttp2-dev
  libprotobuf-dev libsqlite3-dev libyaml-cpp-dev nlohmann-json3-dev protobuf-compiler protobuf-compiler-grpc
)
TEST_PACKAGES=(
  binutils buildah clang-14 clang-format curl etcd-server gnutls-bin iproute2 libclang-rt-14-dev libfaketime llvm-14 nftables openssl procps python3 python3-cryptography python3-grpcio python3-h2 python3-protobuf python3-yaml
  shellcheck skopeo tcpdump util-linux valgrind zsh
)

# Any Node from 18 on will do, wherever it comes from.
command -v node >/dev/null || TEST_PACKAGES+=(nodejs)
command -v npm >/dev/null || TEST_PACKAGES+=(npm)
# The same of Go, from 1.19 on.
command -v go >/dev/null || TEST_PACKAGES+=(golang-go)

missing=()
for package in "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || die "these packages are missing and apt-get is not here: ${missing[*]}; Byrnie builds on Debian 12"
say "Installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
as_root apt-get -qq update || die "apt-get update failed; check the network and the apt sources, then run again"
# An earlier installation may have been cut off half way.
as_root dpkg --configure -a
# etcd-server would start an etcd for everybody; the tests start their own. Debian asks this file whether a service may start.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  trap 'as_root rm -f "$policy"' EXIT
fi
as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null ||
  die "apt-get could not install: ${missing[*]}; Byrnie builds on Debian 12 (bookworm)"
# Nor at the next boot of the machine.
if [[ " ${missing[*]} " == *" etcd-server "* ]] && command -v systemctl >/dev/null; then
  as_root systemctl disable --quiet etcd.service 2>/dev/null || true
fi
