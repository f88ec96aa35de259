#ifndef BYRNIE_CTL_ROTATION_WAIT_H_
#define BYRNIE_CTL_ROTATION_WAIT_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "byrnie/operator/v1/trust.pb.h"

namespace byrnie {

// The world, for WaitForRotation. None may be empty.
struct RotationWait {
  std::function<absl::StatusOr<byrnie::operator_::v1::Trust>()> look;
  // Whether an error of `look` may be gone the next time.
  std::function<bool(const absl::Status&)> passes;
  std::function<absl::Time()> now;
  std::function<void(absl::Duration)> sleep;
  // Is told in one line, without its end, of what has changed.
  std::function<void(absl::string_view)> say;
};

enum class RotationEnd {
  kOver,     // The mesh is at its next root.
  kStopped,  // Somebody has taken it back, or it does not go on by itself.
  kHeldUp,   // The time is up.
};

// Follows a rotation of the root that `trust` is the beginning of until it has ended or `timeout`
// is up; `trust` is then as it was seen last. Errors of `look` that do not pass.
absl::StatusOr<RotationEnd> WaitForRotation(const RotationWait& wait, absl::Duration timeout,
                                            byrnie::operator_::v1::Trust* trust);

// Where it stands, since when, and who keeps it back: "prepared since 2026-01-31T12:00:00Z; ...".
std::string RotationLine(const byrnie::operator_::v1::Trust& trust);

}  // namespace byrnie

#endif  // BYRNIE_CTL_ROTATION_WAIT_H_
