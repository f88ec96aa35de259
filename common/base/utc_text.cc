#include "common/base/utc_text.h"

namespace byrnie {

std::string UtcText(absl::Time time) {
  // Not absl::RFC3339_sec, which writes UTC as "+00:00".
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string UtcMillisText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

}  // namespace byrnie
