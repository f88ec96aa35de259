#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace byrnie {
namespace internal {

void CheckFailed(const char* file, int line, absl::string_view what) {
  std::fprintf(stderr, "%s:%d: check failed: %.*s\n", file, line, static_cast<int>(what.size()),
               what.data());
  std::abort();
}

void CheckOkFailed(const char* file, int line, absl::string_view what, const absl::Status& status) {
  std::fprintf(stderr, "%s:%d: check failed: %.*s is %s\n", file, line,
               static_cast<int>(what.size()), what.data(), status.ToString().c_str());
  std::abort();
}

}  // namespace internal
}  // namespace byrnie
