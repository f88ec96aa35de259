#include "common/net/stall_detector.h"

namespace byrnie {

bool StallDetector::IsGone(const Progress& progress) {
  // With a closed window nothing but probes is sent, more and more rarely: silence between two of
  // them says nothing, only one without an answer does.
  const bool asked = progress.unacknowledged > 0 || progress.unanswered_probes > 1;
  const bool silent = asked && progress.since_acknowledgement >= kInterval;
  silent_ = silent ? silent_ + 1 : 0;
  return silent_ >= kSilentIntervals;
}

}  // namespace byrnie
