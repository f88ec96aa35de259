#include "proxy/default_gateways.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/types/optional.h"
#include "common/base/file.h"

namespace byrnie {
namespace {

// Flags of linux/route.h: in use, and by way of a gateway.
constexpr uint32_t kUp = 0x1;
constexpr uint32_t kGateway = 0x2;

std::vector<absl::string_view> Fields(absl::string_view line) {
  return absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
}

bool LeadsToGateway(absl::string_view flags_hex) {
  uint32_t flags = 0;
  return absl::SimpleHexAtoi(flags_hex, &flags) && (flags & kUp) != 0 && (flags & kGateway) != 0;
}

}  // namespace

absl::flat_hash_set<IpAddress> ParseIpv4Gateways(absl::string_view route_table) {
  absl::flat_hash_set<IpAddress> gateways;
  for (const absl::string_view line : absl::StrSplit(route_table, '\n')) {
    // Iface Destination Gateway Flags RefCnt Use Metric Mask …
    const std::vector<absl::string_view> fields = Fields(line);
    if (fields.size() < 8 || fields[1] != "00000000" || fields[7] != "00000000") continue;
    // Network order, read as a number of this machine's.
    uint32_t gateway = 0;
    if (!LeadsToGateway(fields[3]) || fields[2].size() != 8 ||
        !absl::SimpleHexAtoi(fields[2], &gateway) || gateway == 0) {
      continue;
    }
    char bytes[4];
    memcpy(bytes, &gateway, sizeof(bytes));
    gateways.insert(*IpAddress::FromBytes(absl::string_view(bytes, sizeof(bytes))));
  }
  return gateways;
}

absl::flat_hash_set<IpAddress> ParseIpv6Gateways(absl::string_view route_table) {
  const std::string zero(32, '0');
  absl::flat_hash_set<IpAddress> gateways;
  for (const absl::string_view line : absl::StrSplit(route_table, '\n')) {
    // destination length source length next-hop metric refcnt use flags device
    const std::vector<absl::string_view> fields = Fields(line);
    if (fields.size() < 10 || fields[0] != zero || fields[1] != "00") continue;
    if (!LeadsToGateway(fields[8]) || fields[4].size() != 32 || fields[4] == zero ||
        fields[4].find_first_not_of("0123456789abcdefABCDEF") != absl::string_view::npos) {
      continue;
    }
    gateways.insert(*IpAddress::FromBytes(absl::HexStringToBytes(fields[4])));
  }
  return gateways;
}

absl::StatusOr<absl::flat_hash_set<IpAddress>> DefaultGateways() {
  constexpr size_t kMaxTable = 1024 * 1024;
  const absl::StatusOr<std::string> v4 = ReadFile("/proc/net/route", kMaxTable);
  // Not there where the kernel has no IPv6.
  const absl::StatusOr<std::string> v6 = ReadFile("/proc/net/ipv6_route", kMaxTable);
  if (!v4.ok() && !v6.ok()) return v4.status();
  absl::flat_hash_set<IpAddress> gateways;
  if (v4.ok()) gateways = ParseIpv4Gateways(*v4);
  if (v6.ok()) {
    const absl::flat_hash_set<IpAddress> more = ParseIpv6Gateways(*v6);
    gateways.insert(more.begin(), more.end());
  }
  return gateways;
}

}  // namespace byrnie
