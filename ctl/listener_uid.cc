#include "ctl/listener_uid.h"

#include <netinet/in.h>
#include <string.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"

namespace byrnie {
namespace {

constexpr size_t kMaxTable = 64 * 1024 * 1024;
constexpr absl::string_view kListening = "0A";

// As the kernel writes it: the address as a number of this machine's byte order, in hexadecimal.
std::string InTable(const IpAddress& ip, uint16_t port) {
  uint32_t number;
  const std::string bytes = ip.ToBytes();
  ::memcpy(&number, bytes.data(), sizeof(number));
  return absl::StrFormat("%08X:%04X", number, port);
}

}  // namespace

absl::optional<uid_t> FindListener(absl::string_view table, const SocketAddress& address) {
  if (!address.ip().is_v4()) return absl::nullopt;
  const std::string wanted = InTable(address.ip(), address.port());
  const std::string any = InTable(IpAddress(), address.port());
  absl::optional<uid_t> found;
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid ...
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint32_t uid = 0;
    if (fields.size() < 8 || fields[3] != kListening || !absl::SimpleAtoi(fields[7], &uid))
      continue;
    if (fields[1] == wanted) return uid;
    if (fields[1] == any) found = uid;
  }
  return found;
}

absl::optional<uid_t> ListenerUid(const SocketAddress& address) {
  const absl::StatusOr<std::string> table = ReadFile("/proc/self/net/tcp", kMaxTable);
  if (!table.ok()) return absl::nullopt;
  return FindListener(*table, address);
}

}  // namespace byrnie
