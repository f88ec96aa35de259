#include "common/http/http_message.h"

namespace byrnie {

absl::string_view HttpRequest::QueryValue(absl::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return absl::string_view();
}

}  // namespace byrnie
