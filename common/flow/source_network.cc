#include "common/flow/source_network.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace byrnie {

std::string SourceNetwork::ToString() const {
  return absl::StrCat(address.ToString(), "/", length);
}

SourceNetwork SourceNetworkOf(const IpAddress& address) {
  const uint32_t length = address.is_v4() ? 24 : 64;
  std::string bytes = address.ToBytes();
  std::fill(bytes.begin() + length / 8, bytes.end(), '\0');
  return {IpAddress::FromBytes(bytes).value_or(IpAddress()), length};
}

}  // namespace byrnie
