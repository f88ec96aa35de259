#ifndef BYRNIE_CTL_CHECK_RESULT_H_
#define BYRNIE_CTL_CHECK_RESULT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace byrnie {

// One thing that was looked at.
struct CheckResult {
  enum class Outcome { kGood, kNote, kBad };
  std::string name;  // "agents-connected"; stable, for scripts.
  Outcome outcome = Outcome::kGood;
  std::string message;
  std::string remedy;  // Empty where there is nothing to do.
};

// For people: a line each, with the remedy below.
std::string ChecksText(const std::vector<CheckResult>& results);
// For scripts: a JSON array. Ends with a newline.
std::string ChecksJson(const std::vector<CheckResult>& results);
bool AnyBad(const std::vector<CheckResult>& results);

// "a, b, c and 7 more", of many names the first five.
std::string SomeNames(const std::vector<std::string>& names);

}  // namespace byrnie

#endif  // BYRNIE_CTL_CHECK_RESULT_H_
