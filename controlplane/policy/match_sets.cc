#include "controlplane/policy/match_sets.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/match.h"

namespace byrnie {
namespace {

using istio::security::Address;
using istio::security::StringMatch;

// Whether the first `length` bits are the same.
bool SamePrefix(const std::string& a, const std::string& b, uint32_t length) {
  const size_t whole = length / 8;
  if (a.compare(0, whole, b, 0, whole) != 0) return false;
  if (length % 8 == 0) return true;
  const int mask = 0xff << (8 - length % 8);
  return ((a[whole] ^ b[whole]) & mask & 0xff) == 0;
}

bool Contains(const Address& outer, const Address& inner) {
  return outer.address().size() == inner.address().size() && outer.length() <= inner.length() &&
         SamePrefix(outer.address(), inner.address(), outer.length());
}

Address Everything(size_t bytes) {
  Address block;
  block.set_address(std::string(bytes, '\0'));
  return block;
}

bool CoversOne(const StringMatch& outer, const StringMatch& inner) {
  const std::string& exact = inner.exact();
  switch (outer.match_type_case()) {
    case StringMatch::kExact:
      return inner.match_type_case() == StringMatch::kExact && exact == outer.exact();
    case StringMatch::kPrefix:
      if (outer.prefix().empty()) return true;
      if (inner.match_type_case() == StringMatch::kExact) {
        return absl::StartsWith(exact, outer.prefix());
      }
      return inner.match_type_case() == StringMatch::kPrefix &&
             absl::StartsWith(inner.prefix(), outer.prefix());
    case StringMatch::kSuffix:
      if (outer.suffix().empty()) return true;
      if (inner.match_type_case() == StringMatch::kExact) {
        return absl::EndsWith(exact, outer.suffix());
      }
      return inner.match_type_case() == StringMatch::kSuffix &&
             absl::EndsWith(inner.suffix(), outer.suffix());
    default:
      return IsAnyText(outer);
  }
}

}  // namespace

bool Covers(const AddressBlocks& blocks, const Address& block) {
  bool some = false;
  for (const Address& one : blocks) {
    if (Contains(one, block)) return true;
    some = some || Contains(block, one);
  }
  // Each step has a block within it, so that there are no more of them than bits of all blocks.
  if (!some) return false;
  Address low = block, high = block;
  const uint32_t bit = block.length();
  for (Address* half : {&low, &high}) {
    half->set_length(bit + 1);
    char& byte = (*half->mutable_address())[bit / 8];
    const int mask = 0x80 >> (bit % 8);
    byte = static_cast<char>(half == &low ? byte & ~mask : byte | mask);
  }
  return Covers(blocks, low) && Covers(blocks, high);
}

bool Overlap(const Address& a, const Address& b) { return Contains(a, b) || Contains(b, a); }

bool CoversAll(const AddressBlocks& blocks) {
  return Covers(blocks, Everything(4)) && Covers(blocks, Everything(16));
}

bool IsAnyText(const StringMatch& match) {
  return match.has_presence() ||
         (match.match_type_case() == StringMatch::kPrefix && match.prefix().empty()) ||
         (match.match_type_case() == StringMatch::kSuffix && match.suffix().empty());
}

bool Covers(const StringMatches& matches, const StringMatch& match) {
  return std::any_of(matches.begin(), matches.end(),
                     [&match](const StringMatch& one) { return CoversOne(one, match); });
}

}  // namespace byrnie
