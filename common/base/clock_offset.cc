#include "common/base/clock_offset.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

// Certificates are dated back by more, and clocks that are kept at all by less.
constexpr absl::Duration kWorthMentioning = absl::Seconds(2);

}  // namespace

void ClockOffset::OnExchange(absl::Duration round_trip, absl::Time now, absl::Time other) {
  const absl::Duration uncertainty = round_trip / 2;
  const absl::Duration offset = other - (now - uncertainty);
  value_ = absl::AbsDuration(offset) <= uncertainty ? absl::ZeroDuration() : offset;
}

void ClockOffset::OnJump(absl::Duration by) {
  if (value_.has_value()) *value_ -= by;
}

std::string ClockOffsetHint(absl::optional<absl::Duration> offset) {
  if (!offset.has_value() || absl::AbsDuration(*offset) < kWorthMentioning) return "";
  return absl::StrCat("your clock is ", absl::ToInt64Seconds(absl::AbsDuration(*offset)), " s ",
                      *offset > absl::ZeroDuration() ? "behind" : "ahead of", " the mesh");
}

}  // namespace byrnie
