#include "ctl/unacknowledged.h"

#include <string.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"

namespace byrnie {
namespace {

constexpr size_t kMaxTable = 64 * 1024 * 1024;
constexpr absl::string_view kEstablished = "01", kSynSent = "02";

// As the kernel writes it: numbers of 32 bits of this machine's byte order, in hexadecimal.
std::string InTable(const IpAddress& ip) {
  const std::string bytes = ip.ToBytes();
  std::string text;
  for (size_t i = 0; i + sizeof(uint32_t) <= bytes.size(); i += sizeof(uint32_t)) {
    uint32_t number;
    ::memcpy(&number, bytes.data() + i, sizeof(number));
    absl::StrAppendFormat(&text, "%08X", number);
  }
  return text;
}

}  // namespace

bool FindUnacknowledged(absl::string_view table, const IpAddress& peer) {
  const std::string wanted = InTable(peer) + ":";
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    // sl local_address rem_address st tx_queue:rx_queue ...
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() < 5 || !absl::StartsWith(fields[2], wanted)) continue;
    if (fields[3] != kEstablished && fields[3] != kSynSent) continue;
    if (!absl::StartsWith(fields[4], "00000000:")) return true;
  }
  return false;
}

bool AnyUnacknowledged(const IpAddress& peer) {
  const absl::StatusOr<std::string> table =
      ReadFile(peer.is_v4() ? "/proc/self/net/tcp" : "/proc/self/net/tcp6", kMaxTable);
  return table.ok() && FindUnacknowledged(*table, peer);
}

}  // namespace byrnie
