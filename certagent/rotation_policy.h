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

// When certificates are renewed and failed attempts repeated. Pure functions: the time and the
// randomness are parameters. `random` is uniform in [0, 1).
//
// A certificate is renewed at 50 % of its life, moved by up to 10 % of its life either way, so that
// a fleet which started together does not renew together. The authority's window narrows that
// range; where the two do not meet the nearer end of the window counts, as long as it leaves a
// tenth of the life for repeating.
absl::Time RenewalTime(absl::Time issued_at, absl::Time not_after,
                       const absl::optional<RenewalWindow>& window, double random);

// How long to wait after the `failures`-th failure in a row (1 is the first): from 0.5 s doubling
// to 15 s, spread by 25 % either way, and never longer than a twentieth of the certificate's life
// so that a short-lived one is not given up after a few attempts. While a certificate lives
// (`not_after` is set and later than `now`) the next attempt is never later than its end.
absl::Duration RetryDelay(int failures, absl::Time now, absl::optional<absl::Time> not_after,
                          absl::Duration life, double random);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_ROTATION_POLICY_H_
