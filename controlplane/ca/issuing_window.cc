#include "controlplane/ca/issuing_window.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace byrnie {

IssuingWindow::IssuingWindow(absl::Duration length, const Clock* clock)
    : length_(length), clock_(clock), confirmed_{clock->WallNow(), clock->MonotonicNow()} {}

void IssuingWindow::Confirm(Instant asked) {
  absl::MutexLock lock(&mu_);
  confirmed_ = asked;
}

absl::Duration IssuingWindow::Left() const {
  Instant confirmed;
  {
    absl::MutexLock lock(&mu_);
    confirmed = confirmed_;
  }
  return length_ -
         std::max(clock_->WallNow() - confirmed.wall, clock_->MonotonicNow() - confirmed.monotonic);
}

absl::Status IssuingWindow::Check() const {
  const absl::Duration left = Left();
  if (left >= absl::ZeroDuration()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("this control plane has not reached its store for ",
                   absl::FormatDuration(absl::Trunc(length_ - left, absl::Seconds(1))),
                   ", so it does not know whether its root still signs (--issue_without_store=",
                   absl::FormatDuration(length_), "); ask another one, or see to the store"));
}

}  // namespace byrnie
