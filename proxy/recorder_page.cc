#include "proxy/recorder_page.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/access_record.h"

namespace byrnie {

std::string RenderRecorder(const std::vector<FlightRecorder::Entry>& entries, bool complete) {
  // One line per connection, as in the log, so that grep serves here as well as there.
  std::string json =
      absl::StrCat("{\n  \"complete\": ", complete ? "true" : "false", ",\n  \"connections\": [");
  const char* separator = "\n    ";
  for (const FlightRecorder::Entry& entry : entries) {
    absl::StrAppend(&json, separator, ToJson(entry.ToRecord()));
    separator = ",\n    ";
  }
  absl::StrAppend(&json, entries.empty() ? "]\n}\n" : "\n  ]\n}\n");
  return json;
}

}  // namespace byrnie
