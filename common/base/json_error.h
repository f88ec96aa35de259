#ifndef BYRNIE_COMMON_BASE_JSON_ERROR_H_
#define BYRNIE_COMMON_BASE_JSON_ERROR_H_

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace byrnie {

// Of what nlohmann's parser says of a syntax error, "[json.exception.parse_error.101] parse error
// at line 1, column 2: …", the part from "line" on. A view into `what`.
inline absl::string_view PlaceOfJsonError(absl::string_view what) {
  const size_t bracket = what.find("] ");
  if (bracket != absl::string_view::npos) what.remove_prefix(bracket + 2);
  absl::ConsumePrefix(&what, "parse error at ");
  return what;
}

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_JSON_ERROR_H_
