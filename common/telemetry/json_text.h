#ifndef BYRNIE_COMMON_TELEMETRY_JSON_TEXT_H_
#define BYRNIE_COMMON_TELEMETRY_JSON_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace byrnie {

// Appends `text` with JSON's escapes (RFC 8259 section 7) but without quotes. Control characters,
// also those of C1 and DEL, become \u00XX; each byte that is not part of valid UTF-8 becomes
// U+FFFD. The result is valid UTF-8 on one line.
void AppendJsonEscaped(absl::string_view text, std::string* out);

// Writes one flat JSON object on one line, for logs on paths where a document tree would cost too
// much. Names are constants that need no escaping, each used once. A value type; not thread-safe.
class JsonLine {
 public:
  JsonLine() { text_.reserve(512); }

  JsonLine& Add(absl::string_view name, absl::string_view value);
  JsonLine& Add(absl::string_view name, const char* value) {
    return Add(name, absl::string_view(value));
  }
  JsonLine& Add(absl::string_view name, int64_t value);
  JsonLine& Add(absl::string_view name, uint64_t value);
  JsonLine& Add(absl::string_view name, bool value);
  // NaN and the infinities, which JSON does not have, become null.
  JsonLine& Add(absl::string_view name, double value);

  // The object; ends the use of this.
  std::string Finish();

 private:
  void AppendName(absl::string_view name);
  std::string text_ = "{";
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TELEMETRY_JSON_TEXT_H_
