#ifndef BYRNIE_COMMON_BASE_STATUS_MACROS_H_
#define BYRNIE_COMMON_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns the status of `expression` (an absl::Status) from the enclosing function unless it is OK.
#define RETURN_IF_ERROR(expression)                                    \
  do {                                                                 \
    ::absl::Status byrnie_status = (expression);                       \
    if (ABSL_PREDICT_FALSE(!byrnie_status.ok())) return byrnie_status; \
  } while (false)

// Assigns the value of `expression` (an absl::StatusOr) to `target`, which may declare a variable,
// or returns its status from the enclosing function:
//   ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxSize));
#define ASSIGN_OR_RETURN(target, expression) \
  BYRNIE_ASSIGN_OR_RETURN(BYRNIE_CONCAT(byrnie_status_or_, __LINE__), target, expression)

#define BYRNIE_ASSIGN_OR_RETURN(temporary, target, expression)                   \
  auto temporary = (expression);                                                 \
  if (ABSL_PREDICT_FALSE(!temporary.ok())) return std::move(temporary).status(); \
  target = *std::move(temporary)

#define BYRNIE_CONCAT(a, b) BYRNIE_CONCAT_INNER(a, b)
#define BYRNIE_CONCAT_INNER(a, b) a##b

#endif  // BYRNIE_COMMON_BASE_STATUS_MACROS_H_
