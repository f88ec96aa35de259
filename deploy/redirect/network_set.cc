#include "deploy/redirect/network_set.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace byrnie {
namespace {

constexpr int BitsOf(bool ipv6) { return ipv6 ? 128 : 32; }

// All addresses that have the first `prefix` bits in common differ in these.
absl::uint128 HostMask(bool ipv6, int prefix) {
  const int bits = BitsOf(ipv6) - prefix;
  return bits == 128 ? absl::Uint128Max() : (absl::uint128(1) << bits) - 1;
}

std::string AddressText(bool ipv6, absl::uint128 address) {
  unsigned char bytes[16];
  const int size = BitsOf(ipv6) / 8;
  for (int i = size; i-- > 0; address >>= 8) {
    bytes[i] = static_cast<unsigned char>(absl::Uint128Low64(address) & 0xff);
  }
  char text[INET6_ADDRSTRLEN];
  inet_ntop(ipv6 ? AF_INET6 : AF_INET, bytes, text, sizeof(text));
  return text;
}

// An address, a network where it is exactly one, or else the two ends.
std::string RangeText(bool ipv6, absl::uint128 first, absl::uint128 last) {
  const std::string begin = AddressText(ipv6, first);
  if (first == last) return begin;
  for (int prefix = 1; prefix < BitsOf(ipv6); ++prefix) {
    const absl::uint128 mask = HostMask(ipv6, prefix);
    if ((first & mask) == 0 && last == (first | mask)) return absl::StrCat(begin, "/", prefix);
  }
  return absl::StrCat(begin, "-", AddressText(ipv6, last));
}

}  // namespace

void NetworkSet::Add(bool ipv6, const unsigned char* address, int prefix) {
  absl::uint128 first = 0;
  for (int i = 0; i < BitsOf(ipv6) / 8; ++i) first = first << 8 | address[i];
  (ipv6 ? ipv6_ : ipv4_).push_back({first, first | HostMask(ipv6, prefix)});
}

void NetworkSet::Add(const NetworkSet& other) {
  ipv4_.insert(ipv4_.end(), other.ipv4_.begin(), other.ipv4_.end());
  ipv6_.insert(ipv6_.end(), other.ipv6_.begin(), other.ipv6_.end());
}

bool NetworkSet::Covers(const NetworkSet& other) const {
  return Covers(ipv4_, other.ipv4_) && Covers(ipv6_, other.ipv6_);
}

bool NetworkSet::Covers(std::vector<Range> ranges, const std::vector<Range>& other) {
  const std::vector<Range> merged = Merged(std::move(ranges), /*neighbours=*/true);
  return std::all_of(other.begin(), other.end(), [&merged](const Range& wanted) {
    const auto after = std::upper_bound(
        merged.begin(), merged.end(), wanted.first,
        [](absl::uint128 address, const Range& range) { return address < range.first; });
    return after != merged.begin() && wanted.last <= std::prev(after)->last;
  });
}

std::vector<NetworkSet::Range> NetworkSet::Merged(std::vector<Range> ranges, bool neighbours) {
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> merged;
  for (const Range& range : ranges) {
    if (!merged.empty() && (range.first <= merged.back().last ||
                            (neighbours && range.first - merged.back().last == 1))) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::vector<std::string> NetworkSet::Matches() const {
  std::vector<std::string> matches;
  AddMatch(false, ipv4_, &matches);
  AddMatch(true, ipv6_, &matches);
  return matches;
}

void NetworkSet::AddMatch(bool ipv6, std::vector<Range> ranges, std::vector<std::string>* matches) {
  if (ranges.empty()) return;
  // nft lists neighbours as one range as soon as a set holds any range.
  const bool intervals = std::any_of(ranges.begin(), ranges.end(),
                                     [](const Range& range) { return range.first != range.last; });
  const std::vector<Range> merged = Merged(std::move(ranges), intervals);
  if (merged.front().first == 0 && merged.front().last == HostMask(ipv6, 0)) {
    matches->push_back(ipv6 ? "meta nfproto ipv6" : "meta nfproto ipv4");
    return;
  }
  std::vector<std::string> items;
  for (const Range& range : merged) items.push_back(RangeText(ipv6, range.first, range.last));
  matches->push_back(absl::StrCat(
      ipv6 ? "ip6" : "ip", " daddr ",
      items.size() == 1 ? items[0] : absl::StrCat("{ ", absl::StrJoin(items, ", "), " }")));
}

}  // namespace byrnie
