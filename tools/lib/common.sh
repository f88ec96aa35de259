# Shared by the scripts of tools/: where things are kept, how they speak. Sourced, never run.
# shellcheck shell=bash

BYRNIE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BYRNIE_CACHE=${BYRNIE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/byrnie}
BORINGSSL_REVISION=3a9254f16eda7a4c5d2260039ff23456a0a34de4
export BYRNIE_ROOT BYRNIE_CACHE BORINGSSL_REVISION

# say MESSAGE: progress for a person, on stderr so that stdout stays usable.
say() {
  if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then printf '\033[1m==>\033[0m %s\n' "$*" >&2; else printf '==> %s\n' "$*" >&2; fi
}

# die MESSAGE: what is wrong and what to do, then exit 1.
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# as_root COMMAND...: runs it directly for root, else through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -- "$@"
  else
    die "need root for: $*; run this as root or install sudo"
  fi
}

# boringssl_dir: the source tree Bazel builds, made by tools/lib/boringssl.sh.
boringssl_dir() { printf '%s\n' "$BYRNIE_CACHE/boringssl-$BORINGSSL_REVISION"; }
