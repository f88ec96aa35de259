#!/usr/bin/env bash
# Fuzzes parsers with libFuzzer, two at a time, and ends with one line: N passed, N failed.
#
#   tools/lib/fuzz.sh SECONDS NAME[:SECONDS]...    NAME: of a byrnie_fuzz_target in test/fuzz
#
# Starts from the target's seeds and the inputs kept in test/fuzz/corpus/NAME; what it finds beyond them stays in the cache for
# the next run.
# An input that crashes, leaks or takes too long fails its target, and is kept there as well.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$BYRNIE_ROOT"

seconds=$1
shift
names=("${@%%:*}")
targets=()
for name in "${names[@]}"; do targets+=("//test/fuzz:${name}_fuzzer"); done
say "Building ${#targets[@]} fuzzers with clang"
bazel build --config=fuzz --noshow_progress --show_result=0 --ui_event_filters=-info,-stdout "${targets[@]}"
binaries=$(bazel info --config=fuzz --ui_event_filters=-info bazel-bin 2>/dev/null)/test/fuzz
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# fuzz_one NAME SECONDS: leaves NAME.log, and NAME.ok when nothing was found.
fuzz_one() {
  local name=$1 found=$BYRNIE_CACHE/fuzz/$1 seeds=$logs/$1.seeds kept=() limits=()
  mkdir -p "$found" "$seeds"
  [ ! -d "test/fuzz/corpus/$name" ] || kept=("test/fuzz/corpus/$name")
  case $name in
    # Of what others may ask at any time, the work is in proportion to the text: what is not takes long within 64 KiB.
    admission | manifest) limits=(-timeout=4 -max_len=65536) ;;
    *) limits=(-timeout=10) ;;
  esac
  if BYRNIE_FUZZ_SEEDS=$seeds "$binaries/${name}_fuzzer" -max_total_time="$2" "${limits[@]}" -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
    -artifact_prefix="$found/" "$found" "$seeds" ${kept[@]+"${kept[@]}"} >"$logs/$name.log" 2>&1; then
    touch "$logs/$name.ok"
  fi
}

say "Fuzzing for $seconds s each, or as said: $*"
for name in "$@"; do
  while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || true; done
  fuzz_one "${name%%:*}" "$(case $name in *:*) echo "${name##*:}" ;; *) echo "$seconds" ;; esac)" &
done
wait
passed=0
failed=0
for name in "${names[@]}"; do
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$name.log")
  if [ -e "$logs/$name.ok" ]; then
    passed=$((passed + 1))
    echo "PASS fuzz $name (${runs:-no} inputs)"
  else
    failed=$((failed + 1))
    tail -n 60 "$logs/$name.log"
    echo "FAIL fuzz $name; the input is in $BYRNIE_CACHE/fuzz/$name"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
