#include "ctl/check_result.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/json_writer.h"
#include "ctl/table.h"

namespace byrnie {
namespace {

constexpr size_t kNamesShown = 5;

const char* NameOf(CheckResult::Outcome outcome) {
  switch (outcome) {
    case CheckResult::Outcome::kGood:
      return "good";
    case CheckResult::Outcome::kNote:
      return "note";
    case CheckResult::Outcome::kBad:
      return "BAD";
  }
  return "unknown";
}

}  // namespace

std::string ChecksText(const std::vector<CheckResult>& results) {
  std::string text;
  size_t width = 0;
  for (const CheckResult& result : results) width = std::max(width, result.name.size());
  for (const CheckResult& result : results) {
    std::string outcome = NameOf(result.outcome), name = result.name;
    outcome.resize(4, ' ');
    name.resize(width, ' ');
    absl::StrAppend(&text, outcome, "  ", name, "  ", Printable(result.message), "\n");
    if (!result.remedy.empty()) {
      absl::StrAppend(&text, std::string(width + 8, ' '), "-> ", result.remedy, "\n");
    }
  }
  return text;
}

std::string ChecksJson(const std::vector<CheckResult>& results) {
  JsonWriter json(JsonWriter::Style::kPretty);
  json.BeginArray();
  for (const CheckResult& result : results) {
    json.BeginObject()
        .Field("name", result.name)
        .Field("outcome",
               result.outcome == CheckResult::Outcome::kBad ? "bad" : NameOf(result.outcome))
        .Field("message", result.message)
        .Field("remedy", result.remedy)
        .EndObject();
  }
  json.EndArray();
  return std::move(json).Finish() + "\n";
}

bool AnyBad(const std::vector<CheckResult>& results) {
  for (const CheckResult& result : results) {
    if (result.outcome == CheckResult::Outcome::kBad) return true;
  }
  return false;
}

std::string SomeNames(const std::vector<std::string>& names) {
  if (names.size() <= kNamesShown) return absl::StrJoin(names, ", ");
  return absl::StrCat(absl::StrJoin(names.begin(), names.begin() + kNamesShown, ", "), " and ",
                      names.size() - kNamesShown, " more");
}

}  // namespace byrnie
