#ifndef BYRNIE_CONTROLPLANE_PAGE_TRUST_SUMMARY_H_
#define BYRNIE_CONTROLPLANE_PAGE_TRUST_SUMMARY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "controlplane/ca/signing_authority.h"
#include "controlplane/trust/root_rotation.h"

namespace byrnie {

// Whom the mesh trusts, as the mesh page shows it.
struct TrustSummary {
  // Of what keeps a rotation back; what is beyond is counted.
  static constexpr size_t kMaxBlockers = 20;

  struct Root {
    std::string fingerprint;
    std::string subject;
    absl::Time not_after;
    bool trusted = false;
    bool signs = false;
    bool tainted = false;
  };
  struct Blocker {
    std::string agent;
    std::string address;
    std::string reason;
  };

  // What kind of authority it is, for people: "self-signed root".
  std::string mode;
  // Roots can be moved to others.
  bool rotates = false;
  // "prepared", "distributed", "active" or "tainted"; empty: no rotation is under way.
  std::string step;
  absl::Time since;
  bool automatic = false;
  // What comes next, and what that will mean.
  std::string move;
  std::string consequence;
  std::vector<Root> roots;
  // What keeps the next move of a rotation under way back.
  std::vector<Blocker> blockers;
  size_t blockers_total = 0;
};

// Of a rotation, and of a plugged CA, which has none. Pure.
TrustSummary Summarize(const RotationStatus& status);
TrustSummary Summarize(const AuthoritySnapshot& plugged);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_PAGE_TRUST_SUMMARY_H_
