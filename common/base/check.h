#ifndef BYRNIE_COMMON_BASE_CHECK_H_
#define BYRNIE_COMMON_BASE_CHECK_H_

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Invariants of our own code. A failed check prints file, line and condition to stderr and aborts.
// Never for input: bytes of the network, files, configuration or a CA give a Status.
//
// DCHECK is CHECK in builds without NDEBUG (sanitizers) and compiles to nothing otherwise; its
// condition must have no side effect.

#define CHECK(condition)                           \
  (ABSL_PREDICT_TRUE(static_cast<bool>(condition)) \
       ? static_cast<void>(0)                      \
       : ::byrnie::internal::CheckFailed(__FILE__, __LINE__, #condition))

#define CHECK_EQ(a, b) CHECK((a) == (b))
#define CHECK_NE(a, b) CHECK((a) != (b))
#define CHECK_LT(a, b) CHECK((a) < (b))
#define CHECK_LE(a, b) CHECK((a) <= (b))
#define CHECK_GT(a, b) CHECK((a) > (b))
#define CHECK_GE(a, b) CHECK((a) >= (b))

// Takes an absl::Status or absl::StatusOr; the failure prints the status too.
#define CHECK_OK(expression) \
  ::byrnie::internal::CheckOk(__FILE__, __LINE__, #expression, (expression))

#ifdef NDEBUG
#define BYRNIE_DCHECK_ENABLED false
#else
#define BYRNIE_DCHECK_ENABLED true
#endif

// The condition stays compiled, so that what only a DCHECK uses does not become unused.
#define DCHECK(condition) CHECK(!BYRNIE_DCHECK_ENABLED || (condition))
#define DCHECK_EQ(a, b) DCHECK((a) == (b))
#define DCHECK_NE(a, b) DCHECK((a) != (b))
#define DCHECK_LT(a, b) DCHECK((a) < (b))
#define DCHECK_LE(a, b) DCHECK((a) <= (b))
#define DCHECK_GT(a, b) DCHECK((a) > (b))
#define DCHECK_GE(a, b) DCHECK((a) >= (b))

namespace byrnie {
namespace internal {

[[noreturn]] void CheckFailed(const char* file, int line, absl::string_view what);
[[noreturn]] void CheckOkFailed(const char* file, int line, absl::string_view what,
                                const absl::Status& status);

inline void CheckOk(const char* file, int line, const char* what, const absl::Status& status) {
  if (ABSL_PREDICT_FALSE(!status.ok())) CheckOkFailed(file, line, what, status);
}
template <typename T>
void CheckOk(const char* file, int line, const char* what, const absl::StatusOr<T>& value) {
  CheckOk(file, line, what, value.status());
}

}  // namespace internal
}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_CHECK_H_
