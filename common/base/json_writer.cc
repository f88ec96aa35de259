#include "common/base/json_writer.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/check.h"

namespace byrnie {
namespace {

// The length of the well-formed UTF-8 sequence at the start of `text` (Unicode table 3-7), 0 if
// there is none.
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  const auto within = [&](size_t i, uint8_t low, uint8_t high) {
    return byte(i) >= low && byte(i) <= high;
  };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return within(1, 0x80, 0xbf) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    // Not overlong, not a surrogate.
    const uint8_t low = lead == 0xe0 ? 0xa0 : 0x80;
    const uint8_t high = lead == 0xed ? 0x9f : 0xbf;
    return within(1, low, high) && within(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const uint8_t low = lead == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xf4 ? 0x8f : 0xbf;
    return within(1, low, high) && within(2, 0x80, 0xbf) && within(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

}  // namespace

void AppendJsonString(absl::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    const char c = text[0];
    size_t length = 1;
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (c == '\t') {
      out->append("\\t");
    } else if (c == '\r') {
      out->append("\\r");
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      absl::StrAppendFormat(out, "\\u%04x", static_cast<unsigned>(c));
    } else if ((length = Utf8Length(text)) > 0) {
      out->append(text.data(), length);
    } else {
      length = 1;
      out->append("\xef\xbf\xbd");
    }
    text.remove_prefix(length);
  }
  out->push_back('"');
}

JsonWriter& JsonWriter::Key(absl::string_view name) {
  DCHECK(!levels_.empty() && levels_.back().open == '{' && !levels_.back().has_key);
  Separate();
  AppendJsonString(name, &out_);
  out_.append(style_ == Style::kPretty ? ": " : ":");
  levels_.back().has_key = true;
  return *this;
}

JsonWriter& JsonWriter::Value(absl::string_view value) {
  BeforeValue();
  AppendJsonString(value, &out_);
  return *this;
}

JsonWriter& JsonWriter::Value(double value) {
  if (!std::isfinite(value)) return Null();
  BeforeValue();
  absl::StrAppendFormat(&out_, "%.15g", value);
  return *this;
}

JsonWriter& JsonWriter::Null() {
  BeforeValue();
  out_.append("null");
  return *this;
}

JsonWriter& JsonWriter::WriteBool(bool value) {
  BeforeValue();
  out_.append(value ? "true" : "false");
  return *this;
}

JsonWriter& JsonWriter::WriteSigned(int64_t value) {
  BeforeValue();
  absl::StrAppend(&out_, value);
  return *this;
}

JsonWriter& JsonWriter::WriteUnsigned(uint64_t value) {
  BeforeValue();
  absl::StrAppend(&out_, value);
  return *this;
}

std::string JsonWriter::Finish() && {
  DCHECK(levels_.empty());
  return std::move(out_);
}

JsonWriter& JsonWriter::Begin(char open) {
  BeforeValue();
  out_.push_back(open);
  levels_.push_back(Level{open});
  return *this;
}

JsonWriter& JsonWriter::End(char close) {
  DCHECK(!levels_.empty() && !levels_.back().has_key);
  DCHECK_EQ(levels_.back().open, close == '}' ? '{' : '[');
  const bool empty = levels_.back().empty;
  levels_.pop_back();
  if (!empty) NewLine();
  out_.push_back(close);
  return *this;
}

void JsonWriter::BeforeValue() {
  if (levels_.empty()) return;
  if (levels_.back().open == '{') {
    DCHECK(levels_.back().has_key);
    levels_.back().has_key = false;
  } else {
    Separate();
  }
}

void JsonWriter::Separate() {
  if (!levels_.back().empty) out_.push_back(',');
  levels_.back().empty = false;
  NewLine();
}

void JsonWriter::NewLine() {
  if (style_ != Style::kPretty) return;
  out_.push_back('\n');
  out_.append(2 * levels_.size(), ' ');
}

}  // namespace byrnie
