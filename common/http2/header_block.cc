#include "common/http2/header_block.h"

#include "absl/strings/numbers.h"

namespace byrnie {

void HeaderBlock::Add(absl::string_view name, absl::string_view value, size_t limit) {
  size += name.size() + value.size() + 32;
  if (size > limit) {
    too_large = true;
    headers.clear();
    return;
  }
  if (name == ":method") {
    method = std::string(value);
  } else if (name == ":authority") {
    authority = std::string(value);
  } else if (name == ":status") {
    if (!absl::SimpleAtoi(value, &status)) status = 0;
  } else if (!name.empty() && name[0] != ':') {
    headers.emplace_back(name, value);
  }
}

}  // namespace byrnie
