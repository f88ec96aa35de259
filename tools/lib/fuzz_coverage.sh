#!/usr/bin/env bash
# Measures how much of each parser its fuzz target runs through with what is kept for it alone: its seeds and
# test/fuzz/corpus/NAME, unchanged. Ends with one line: N passed, N failed; a parser passes with 90 % of its lines and regions.
#
#   tools/lib/fuzz_coverage.sh [NAME...]    all parsers, or those of these fuzz targets
#
# BYRNIE_SHOW_MISSED=1 shows the parsers with how often each line was run.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$BYRNIE_ROOT"

LEAST=90
# The name of a fuzz target, and a file that reads what strangers send or what decides whom to trust.
PARSERS=(
  "certificate common/crypto/certificate.cc"
  "certificate common/identity/svid_rules.cc"
  "certificate common/identity/svid_verifier.cc"
  "client_hello common/tls/client_hello.cc"
  "control_plane_answers certagent/ca_messages.cc"
  "control_plane_answers certagent/discovery_cache.cc"
  "hbone_headers proxy/hbone_headers.cc"
  "http2 common/http2/connect_session.cc"
  "http2 common/http2/frame_tally.cc"
  "http2 common/http2/header_block.cc"
  "http2 common/http2/session_events.cc"
  "http_request common/http/http_codec.cc"
  "http_request common/http/http_router.cc"
  "json common/base/json.cc"
  "jwt_svid common/identity/jwt_svid.cc"
  "link_frames common/link/frame_stream.cc"
  "link_update common/policy/policy_conversion.cc"
  "link_update proxy/address_conversion.cc"
  "link_update proxy/routing_table_builder.cc"
  "proxy_header proxy/proxy_header.cc"
  "revocation_list common/crypto/revocation_list.cc"
  "sign_input certagent/key_custodian.cc"
  "socket_address common/net/socket_address.cc"
  "spiffe_id common/identity/spiffe_id.cc"
)

names=("$@")
if [ $# -eq 0 ]; then mapfile -t names < <(printf '%s\n' "${PARSERS[@]%% *}" | sort -u); fi
targets=()
for name in "${names[@]}"; do targets+=("//test/fuzz:${name}_test"); done
say "Building ${#targets[@]} fuzz targets with clang, for their coverage"
bazel build --config=fuzz_coverage --noshow_progress --show_result=0 --ui_event_filters=-info,-stdout "${targets[@]}"
binaries=$(bazel info --config=fuzz_coverage --ui_event_filters=-info bazel-bin 2>/dev/null)/test/fuzz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

passed=0
failed=0
for name in "${names[@]}"; do
  # No mutations of the seeds: they are not kept.
  LLVM_PROFILE_FILE=$work/$name.raw "$binaries/${name}_test" "test/fuzz/corpus/$name" 0 >/dev/null
  llvm-profdata-14 merge -o "$work/$name.profile" "$work/$name.raw"
  for parser in "${PARSERS[@]}"; do
    [ "${parser%% *}" = "$name" ] || continue
    file=${parser#* }
    # A line for each file of the program, for it takes no notice of one that is named, without the folders that all have in common:
    # regions, functions, lines and branches, each with how many, how many missed, and the share covered.
    read -r regions lines < <(llvm-cov-14 report "$binaries/${name}_test" "-instr-profile=$work/$name.profile" |
      awk -v "file=/$file" '$2 ~ /^[0-9]+$/ && substr(file, length(file) - length($1)) == "/" $1 { sub("%", "", $4); sub("%", "", $10); print $4, $10 }')
    if awk "BEGIN { exit !($lines >= $LEAST && $regions >= $LEAST) }"; then
      passed=$((passed + 1))
      verdict=PASS
    else
      failed=$((failed + 1))
      verdict=FAIL
    fi
    printf '%s fuzz coverage of %s by %s: %s %% of lines, %s %% of regions\n' "$verdict" "$file" "$name" "$lines" "$regions"
    [ -z "${BYRNIE_SHOW_MISSED:-}" ] ||
      # All files, and of them the one: it would look for a file that is named by its whole path, and finds none.
      llvm-cov-14 show "$binaries/${name}_test" "-instr-profile=$work/$name.profile" -show-line-counts -show-regions |
      awk -v "head=$file:" '/^[^ ].*:$/ { shown = $0 == head } shown'
  done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
