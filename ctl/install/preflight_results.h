#ifndef BYRNIE_CTL_INSTALL_PREFLIGHT_RESULTS_H_
#define BYRNIE_CTL_INSTALL_PREFLIGHT_RESULTS_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ctl/check_result.h"

namespace byrnie {

// What one look at a cluster comes to.
inline CheckResult GoodCheck(const char* name, std::string message) {
  return {name, CheckResult::Outcome::kGood, std::move(message), ""};
}
inline CheckResult NoteCheck(const char* name, std::string message, std::string remedy) {
  return {name, CheckResult::Outcome::kNote, std::move(message), std::move(remedy)};
}
inline CheckResult BadCheck(const char* name, std::string message, std::string remedy) {
  return {name, CheckResult::Outcome::kBad, std::move(message), std::move(remedy)};
}
inline CheckResult NotAsked(const char* name, const absl::Status& why) {
  return NoteCheck(name, absl::StrCat("could not be looked at: ", why.message()),
                   absl::IsPermissionDenied(why) ? "let somebody look who may" : "");
}

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_PREFLIGHT_RESULTS_H_
