#ifndef BYRNIE_CTL_TABLE_H_
#define BYRNIE_CTL_TABLE_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"

namespace byrnie {

// What people and scripts read on a terminal. Pure.

// Columns as wide as their widest cell, two spaces between, nothing after the last.
std::string Table(const std::vector<std::vector<std::string>>& rows);

// A message as JSON, the one way in which -o json shows what the API has: the names of its fields
// as docs/reference/api.md has them, all of them, those without presence also where they are zero;
// values of enums by name, times as RFC 3339 text in UTC ("Z"), durations as "3.5s", 64-bit numbers
// as text (proto3's JSON mapping). Ends with a newline.
std::string MessageJson(const google::protobuf::Message& message);
// The same in one line, for what comes one by one (JSON Lines).
std::string MessageJsonLine(const google::protobuf::Message& message);

// Messages as one JSON array, "[]" for none. Ends with a newline.
template <typename Message>
std::string JsonArray(const std::vector<Message>& messages) {
  std::string text;
  for (const Message& message : messages) {
    absl::StrAppend(&text, text.empty() ? "\n" : ",\n",
                    absl::StripSuffix(MessageJson(message), "\n"));
  }
  return absl::StrCat("[", text, text.empty() ? "" : "\n", "]\n");
}

// "12 s", "3 min 4 s", "2 h 5 min", "36 d": the two units that matter.
std::string ShortDuration(absl::Duration duration);
// "expires in 3 h 5 min", "EXPIRED 12 s ago".
std::string Expiry(absl::Time not_after, absl::Time now);
// "1 agent", "2 agents", "2 policies".
std::string Plural(size_t count, absl::string_view one);

absl::Time TimeOf(const google::protobuf::Timestamp& time);
absl::Duration DurationOf(const google::protobuf::Duration& duration);
// "2026-01-31T12:00:00Z".
std::string Rfc3339(const google::protobuf::Timestamp& time);
// The same with control characters made visible, so that no server speaks to the terminal.
std::string Printable(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_CTL_TABLE_H_
