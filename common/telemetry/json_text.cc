#include "common/telemetry/json_text.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace byrnie {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD.

// Length of the well-formed UTF-8 sequence at the start of `text` (Unicode 15 table 3-7), or 0.
size_t Utf8SequenceLength(absl::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  size_t length;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;   // No overlong forms.
    if (first == 0xED) high = 0x9F;  // No surrogates.
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;  // Nothing beyond U+10FFFF.
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

void AppendUnicodeEscape(unsigned value, std::string* out) {
  absl::StrAppendFormat(out, "\\u%04x", value);
}

}  // namespace

void AppendJsonEscaped(absl::string_view text, std::string* out) {
  while (!text.empty()) {
    const unsigned char c = static_cast<unsigned char>(text[0]);
    size_t length = 1;
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(text[0]);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (c == '\r') {
      out->append("\\r");
    } else if (c == '\t') {
      out->append("\\t");
    } else if (c < 0x20 || c == 0x7F) {
      AppendUnicodeEscape(c, out);
    } else {
      length = Utf8SequenceLength(text);
      if (length == 0) {
        out->append(kReplacement.data(), kReplacement.size());
        length = 1;
      } else if (length == 2 && c == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0) {
        AppendUnicodeEscape(static_cast<unsigned char>(text[1]), out);  // C1: terminals obey it.
      } else {
        out->append(text.data(), length);
      }
    }
    text.remove_prefix(length);
  }
}

void JsonLine::AppendName(absl::string_view name) {
  if (text_.size() > 1) text_.push_back(',');
  absl::StrAppend(&text_, "\"", name, "\":");
}

JsonLine& JsonLine::Add(absl::string_view name, absl::string_view value) {
  AppendName(name);
  text_.push_back('"');
  AppendJsonEscaped(value, &text_);
  text_.push_back('"');
  return *this;
}

JsonLine& JsonLine::Add(absl::string_view name, int64_t value) {
  AppendName(name);
  absl::StrAppend(&text_, value);
  return *this;
}

JsonLine& JsonLine::Add(absl::string_view name, uint64_t value) {
  AppendName(name);
  absl::StrAppend(&text_, value);
  return *this;
}

JsonLine& JsonLine::Add(absl::string_view name, bool value) {
  AppendName(name);
  text_.append(value ? "true" : "false");
  return *this;
}

JsonLine& JsonLine::Add(absl::string_view name, double value) {
  AppendName(name);
  if (std::isfinite(value)) {
    absl::StrAppendFormat(&text_, "%.15g", value);
  } else {
    text_.append("null");
  }
  return *this;
}

std::string JsonLine::Finish() {
  text_.push_back('}');
  return std::move(text_);
}

}  // namespace byrnie
