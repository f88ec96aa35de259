// CompareListings: apart from the rules themselves.
#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "deploy/redirect/ruleset.h"

namespace byrnie {
namespace {

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

}  // namespace

std::string CompareListings(absl::string_view expected, absl::string_view found) {
  const std::vector<std::string> a = NormalizedLines(expected);
  const std::vector<std::string> b = NormalizedLines(found);
  // Longest common subsequence, from the back; both sides have some dozens of lines.
  std::vector<std::vector<size_t>> common(a.size() + 1, std::vector<size_t>(b.size() + 1, 0));
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      common[i][j] =
          a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::string difference;
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      ++i;
      ++j;
    } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
      absl::StrAppend(&difference, "- ", a[i++], "\n");
    } else {
      absl::StrAppend(&difference, "+ ", b[j++], "\n");
    }
  }
  return difference;
}

}  // namespace byrnie
