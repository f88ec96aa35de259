#!/usr/bin/env bash
# Builds the API server that tests run against into the cache outside the checkout: kube-apiserver and
# kube-controller-manager of Debian's `kubernetes` source package, with Debian's Go. A few minutes, once per machine;
# nothing is done where they are there. Beside them the kubectl of that version, as Debian has built it. It needs no root and installs nothing: what it uses is unpacked beside the
# sources. Everything is made under a temporary name and renamed, so an interrupted run leaves nothing half done.
#
# The package is the newest that Debian has with both programs and all they depend on. Two things keep it from building
# as it is: a generated file is missing, and one dependency does not go with a newer Go (its answer to a TokenReview
# would be a panic).
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tools/lib/source_package.sh
. "$(dirname "${BASH_SOURCE[0]}")/source_package.sh"

KUBERNETES_VERSION=1.20.5+really1.20.2-1.1+deb12u1
KUBERNETES_RELEASE=v1.20.2
GO_PACKAGES=(golang-1.19-go golang-1.19-src golang-github-modern-go-reflect2-dev)
PROGRAMS=(kube-apiserver kube-controller-manager)

target=$BYRNIE_CACHE/kubernetes-1.20.2
work=""
cleanup() {
  [ -n "$work" ] || return 0
  chmod -R u+w "$work" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# quietly COMMAND...: shows what it says only when it fails.
quietly() {
  "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
}

fetch() {
  say "Kubernetes: reading the index of Debian source packages"
  read_source_index || die "the index of Debian source packages could not be read; check the network and the apt sources"
  say "Kubernetes: downloading the source package and Go (about 110 MB, once per machine)"
  mkdir -p "$work/download" "$work/debian"
  cd "$work/download"
  quietly source_apt source --download-only --only-source "kubernetes=$KUBERNETES_VERSION" ||
    die "Debian's source package kubernetes=$KUBERNETES_VERSION could not be had; check the apt sources"
  local package
  get_go() { apt-get -q -o APT::Sandbox::User=root download "${GO_PACKAGES[@]}"; }
  quietly get_go 2>/dev/null || { as_root apt-get -qq update && quietly get_go; } ||
    die "apt-get could not download ${GO_PACKAGES[*]}; check the network and the apt sources, then run again"
  for package in ./*.deb; do dpkg-deb -x "$package" "$work/debian"; done
}

# use_go: Debian's Go as it was unpacked, and nothing of the caller's own settings.
use_go() {
  export GOROOT=$work/debian/usr/lib/go-1.19 GOPATH=$work/go GOCACHE=$work/gocache HOME=$work/home
  export GO111MODULE=off CGO_ENABLED=0 GOFLAGS=-trimpath
  mkdir -p "$HOME"
}

unpack() {
  mkdir -p "$tree"
  tar -xzf "$work"/download/kubernetes_*.orig.tar.gz -C "$tree" --strip-components=1
  # The one that is there reads a type of the runtime that has changed since.
  rm -rf "$tree/vendor/github.com/modern-go/reflect2"
  cp -r "$work/debian/usr/share/gocode/src/github.com/modern-go/reflect2" "$tree/vendor/github.com/modern-go/reflect2"
}

# generate_openapi: pkg/generated/openapi/zz_generated.openapi.go, as upstream's Makefile makes it.
generate_openapi() {
  local inputs
  say "Kubernetes: generating what the package lacks"
  quietly "$GOROOT/bin/go" build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  # A slash behind a link of vendor/ makes grep follow it.
  inputs=$(grep -rl --include='*.go' --exclude-dir=testdata '+k8s:openapi-gen=' pkg plugin cmd vendor/k8s.io/*/ |
    grep -vE '^vendor/k8s.io/(code-generator|sample-apiserver|kube-openapi|gengo)/' |
    xargs -n1 dirname | sed -E 's,//+,/,g; s,^,k8s.io/kubernetes/,' | LC_ALL=C sort -u | paste -sd, -)
  quietly "$work/openapi-gen" --v 1 --logtostderr -i "$inputs" -p k8s.io/kubernetes/pkg/generated/openapi \
    -O zz_generated.openapi -h hack/boilerplate/boilerplate.generatego.txt -r "$work/violations"
  [ -s pkg/generated/openapi/zz_generated.openapi.go ] || die "openapi-gen made no file"
}

build() {
  local program package flags="-s -w"
  # What clients are told, and decide by.
  for package in k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version k8s.io/kubernetes/vendor/k8s.io/component-base/version; do
    flags+=" -X $package.gitVersion=$KUBERNETES_RELEASE -X $package.gitMajor=1 -X $package.gitMinor=20 -X $package.gitTreeState=clean"
  done
  mkdir "$work/bin"
  for program in "${PROGRAMS[@]}"; do
    say "Kubernetes: building $program (one to two minutes)"
    quietly "$GOROOT/bin/go" build -tags providerless -ldflags "$flags" -o "$work/bin/$program" "./cmd/$program"
  done
}

# get_kubectl DIRECTORY: from Debian's package, which may not be installed where there is another kubectl.
get_kubectl() {
  say "Kubernetes: downloading kubectl (8 MB)"
  mkdir -p "$work/kubectl"
  cd "$work/kubectl"
  get_client() { apt-get -q -o APT::Sandbox::User=root download "kubernetes-client=$KUBERNETES_VERSION"; }
  quietly get_client 2>/dev/null || { as_root apt-get -qq update && quietly get_client; } ||
    die "apt-get could not download kubernetes-client=$KUBERNETES_VERSION; check the network and the apt sources, then run again"
  dpkg-deb -x ./*.deb .
  mv usr/bin/kubectl "$1/kubectl"
}

servers_there() { [ -x "$target/kube-apiserver" ] && [ -x "$target/kube-controller-manager" ]; }

! servers_there || [ ! -x "$target/kubectl" ] || exit 0
mkdir -p "$BYRNIE_CACHE"
for left in "$BYRNIE_CACHE"/kubernetes.??????; do  # What an interrupted earlier run left.
  [ ! -d "$left" ] || { chmod -R u+w "$left"; rm -rf "$left"; } 2>/dev/null || true
done
work=$(mktemp -d "$BYRNIE_CACHE/kubernetes.XXXXXX")
if servers_there; then
  get_kubectl "$target"
  exit 0
fi
tree=$work/go/src/k8s.io/kubernetes
fetch
use_go
unpack
cd "$tree"
generate_openapi
build
get_kubectl "$work/bin"
rm -rf "$target"
mv "$work/bin" "$target"
say "Kubernetes: ready in $target"
