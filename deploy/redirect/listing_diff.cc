// CompareListings: apart from the rules themselves.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "deploy/redirect/ruleset.h"

namespace byrnie {
namespace {

// Of the table in which two listings are aligned. Ours have some hundred lines; who wants a long
// difference of a listing that somebody filled is shown all of both.
constexpr size_t kMaxCells = 1000000;

// Lines without indentation or empty ones; a rule is prefixed with the name of its chain so that
// equal rules of different chains are told apart.
std::vector<std::string> NormalizedLines(absl::string_view listing) {
  std::vector<std::string> lines;
  std::string chain;
  for (absl::string_view raw : absl::StrSplit(listing, '\n')) {
    std::string line(raw);
    absl::RemoveExtraAsciiWhitespace(&line);
    if (line.empty() || line == "}") continue;
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.back() == "{") {
      chain = words[0] == "table"
                  ? ""
                  : absl::StrCat(words[0], " ", words.size() > 2 ? words[1] : "", ": ");
      lines.push_back(line);
    } else {
      lines.push_back(absl::StrCat(chain, line));
    }
  }
  return lines;
}

using Lines = absl::Span<const std::string>;

void AddMissing(Lines lines, std::string* difference) {
  for (const std::string& line : lines) absl::StrAppend(difference, "- ", line, "\n");
}

void AddExcess(Lines lines, std::string* difference) {
  for (const std::string& line : lines) absl::StrAppend(difference, "+ ", line, "\n");
}

// By the longest common subsequence, from the back.
void AddDifference(Lines a, Lines b, std::string* difference) {
  std::vector<std::vector<uint32_t>> common(a.size() + 1, std::vector<uint32_t>(b.size() + 1, 0));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] =
          a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (a[i] == b[j]) {
      ++i;
      ++j;
    } else if (common[i + 1][j] >= common[i][j + 1]) {
      AddMissing(a.subspan(i++, 1), difference);
    } else {
      AddExcess(b.subspan(j++, 1), difference);
    }
  }
  AddMissing(a.subspan(i), difference);
  AddExcess(b.subspan(j), difference);
}

}  // namespace

std::string CompareListings(absl::string_view expected, absl::string_view found) {
  if (expected == found) return "";
  const std::vector<std::string> all_expected = NormalizedLines(expected);
  const std::vector<std::string> all_found = NormalizedLines(found);
  Lines a = all_expected;
  Lines b = all_found;
  // What is the same at both ends is in no difference.
  while (!a.empty() && !b.empty() && a.front() == b.front()) {
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  while (!a.empty() && !b.empty() && a.back() == b.back()) {
    a.remove_suffix(1);
    b.remove_suffix(1);
  }
  std::string difference;
  if ((a.size() + 1) * (b.size() + 1) <= kMaxCells) {
    AddDifference(a, b, &difference);
  } else {
    AddMissing(a, &difference);
    AddExcess(b, &difference);
  }
  return difference;
}

}  // namespace byrnie
