#ifndef BYRNIE_CONTROLPLANE_TRUST_TRUST_RECORD_H_
#define BYRNIE_CONTROLPLANE_TRUST_TRUST_RECORD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// Where the move from one root to the next stands. Each name says what is the case:
//
//   step         the next root              signs       trusted         the current root's
//   certificates prepared     is made                    current     current         go on
//   distributed  is in the bundles          current     both            go on
//   active       signs                      next        both            go on
//   tainted      signs                      next        both            are to be renewed now
//
// Then the current root is revoked: the next one is the current one, alone, and there is no
// rotation any more.
enum class RotationStep { kPrepared, kDistributed, kActive, kTainted };
absl::string_view RotationStepName(RotationStep step);

// A root: a certificate and its key.
struct RootRecord {
  // SHA-256 of the certificate, lower-case hexadecimal.
  std::string id;
  std::string certificate_der;
  // As KeySeal::Protect made it for the record KeyRecordName(id).
  std::string stored_key;
};
// What a root's key is sealed for.
std::string KeyRecordName(absl::string_view root_id);

// Somebody a gate does not wait for, because an operator said so: for one move, which is the one
// forward from `step`, or a rollback.
struct RotationExclusion {
  // Whom RotationBlocker::agent names, wherever it is; or AGENT@HOST: only where it is connected
  // from that IP address.
  std::string agent;
  RotationStep step;  // When it was said.
  std::string by;
  absl::Time at;
  bool rollback = false;
  // How much it left out when it was said, of what kept the move back.
  uint32_t left_out = 0;
  // A move was made since: it holds no more, and says who it was that was not waited for.
  bool over = false;
};

// The move that is under way.
struct RotationRecord {
  RotationStep step = RotationStep::kPrepared;
  // When the step was taken.
  absl::Time since;
  RootRecord next;
  // When the next root came into the bundles.
  absl::optional<absl::Time> distributed_at;
  // When the next root began to sign, the last time it did.
  absl::optional<absl::Time> activated_at;
  // The next root has signed, until then, and does so no more: it was rolled back.
  absl::optional<absl::Time> signed_until;
  // Steps are taken as soon as their gates open.
  bool automatic = false;
  std::vector<RotationExclusion> exclusions;
};

// How long certificates were allowed to live, and until when. They say when the last certificate
// issued up to some time has ended, also to a process that issued none of them.
struct LifeCap {
  absl::Duration life;
  absl::Time until;  // InfiniteFuture: still.
};

// What the store has about whom the trust domain trusts. A value; all that a process does follows
// from it (EffectOf in rotation_steps.h), so that a step is one commit of this.
struct TrustRecord {
  std::string trust_domain;
  RootRecord current;
  absl::optional<RotationRecord> rotation;
  std::vector<LifeCap> life_caps;
  // How many roots there have been, this one included: part of the names of new ones.
  uint32_t root_count = 1;
  // Every certificate issued from then on is in the log of issuances; InfinitePast: every one.
  absl::Time logged_since = absl::InfinitePast();
};

// Whether it is one that RotationSteps could have made; FailedPrecondition names what is wrong.
absl::Status CheckTrustRecord(const TrustRecord& record);

// Certificates live at most `life` from `now` on. True when that changed the record.
bool SetLifeCap(absl::Duration life, absl::Time now, TrustRecord* record);
// No certificate that was issued up to `issued` is valid then.
absl::Time LatestEnd(const TrustRecord& record, absl::Time issued);

// The name an exclusion gives to certificates nobody knows the holders of.
inline constexpr absl::string_view kUnknownAgents = "unknown";
// The name it gives to connections that were made with certificates of a root that is to go.
inline constexpr absl::string_view kOpenConnections = "connections";

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_TRUST_RECORD_H_
