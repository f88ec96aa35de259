#include "ctl/table.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/utc_text.h"
#include "google/protobuf/util/json_util.h"

namespace byrnie {

std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, row[i]);
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + 2, ' ');
    }
    text.push_back('\n');
  }
  return text;
}

namespace {

std::string ToJson(const google::protobuf::Message& message, bool in_one_line) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = !in_one_line;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails for messages with an Any of an unknown type alone, of which there are none.
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  return json;
}

}  // namespace

std::string MessageJson(const google::protobuf::Message& message) {
  return ToJson(message, /*in_one_line=*/false);
}

std::string MessageJsonLine(const google::protobuf::Message& message) {
  return ToJson(message, /*in_one_line=*/true) + "\n";
}

std::string ShortDuration(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration);
  const int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
  if (days >= 3) return absl::StrCat(days, " d");
  if (days >= 1) return absl::StrCat(days, " d ", hours % 24, " h");
  if (hours >= 1) return absl::StrCat(hours, " h ", minutes % 60, " min");
  if (minutes >= 1) return absl::StrCat(minutes, " min ", seconds % 60, " s");
  return absl::StrCat(seconds, " s");
}

std::string Expiry(absl::Time not_after, absl::Time now) {
  if (not_after > now) return absl::StrCat("expires in ", ShortDuration(not_after - now));
  return absl::StrCat("EXPIRED ", ShortDuration(now - not_after), " ago");
}

std::string Plural(size_t count, absl::string_view one) {
  if (count == 1) return absl::StrCat("1 ", one);
  if (one == "policy") return absl::StrCat(count, " policies");
  return absl::StrCat(count, " ", one, "s");
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::Duration DurationOf(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

std::string Rfc3339(const google::protobuf::Timestamp& time) { return UtcText(TimeOf(time)); }

std::string Printable(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&out, "\\x%02x", byte);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace byrnie
