#ifndef BYRNIE_CERTAGENT_ROTATION_POLICY_H_
#define BYRNIE_CERTAGENT_ROTATION_POLICY_H_

#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// When the authority wants to be asked again.
struct RenewalWindow {
  absl::Time start;
  absl::Time end;
};

constexpr absl::Duration kShortestRenewal = absl::Seconds(1);

// When certificates are renewed and failed attempts repeated. Pure functions: the time and the
// randomness are parameters. `random` is uniform in [0, 1).
//
// A certificate is renewed between 45 % and 60 % of its life, so that a fleet which started
// together does not renew together, and so that an authority may be away for two fifths of a life
// before anything is lost. The authority's window narrows that range; where the two do not meet the
// nearer end of the window counts, as long as it leaves a tenth of the life for repeating. A window
// that is over at `issued_at` is another clock's and does not count. Never sooner than
// kShortestRenewal after `issued_at`: a clock that is wrong by most of a life makes the rest of it
// look short, again and again.
absl::Time RenewalTime(absl::Time issued_at, absl::Time not_after,
                       const absl::optional<RenewalWindow>& window, double random);

// How long to wait after the `failures`-th failure in a row (1 is the first) with `left` to go of
// the present certificate, which is not positive when there is none.
//
// From a second, doubling. While a certificate lives there is no hurry: up to a twentieth of what
// is left of it, at most two minutes, so that a fleet whose authority comes back does not fall on
// it; faster and faster towards the end, and never past it. Without one the pod is down: up to 4 s.
// All of it is spread by half upwards, and nobody asks twice in a second, which in the last second
// of a certificate may be one too late.
//
// `retry_after` is when the authority wants to be asked again: not sooner, unless that would take
// more than half of what is left of the certificate or, without one, more than five minutes.
absl::Duration RetryDelay(int failures, absl::Duration left,
                          absl::optional<absl::Duration> retry_after, double random);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_ROTATION_POLICY_H_
