#ifndef BYRNIE_CONTROLPLANE_SERVER_SERVER_IDENTITY_H_
#define BYRNIE_CONTROLPLANE_SERVER_SERVER_IDENTITY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/secret_bytes.h"
#include "common/telemetry/log.h"
#include "common/telemetry/repeat_filter.h"
#include "controlplane/audit/issuance_log.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/revocations.h"

namespace byrnie {

// The control plane's own certificate, as it signs it for itself:
// spiffe://TRUST_DOMAIN/byrnie/controlplane, with a new key each time, in memory alone.
// Thread-safe; the pointers outlive it.
class ServerIdentity {
 public:
  static constexpr absl::Duration kTtl = absl::Hours(24);

  // Immutable.
  struct Snapshot {
    uint64_t generation;
    std::string chain_pem;
    SecretBytes key_pem;
    std::string serial;
    // SHA-256 of the certificate that signed it.
    std::string signer;
    absl::Time not_before, not_after;
    // From then on it is time for the next.
    absl::Time renew_after;
  };

  // Makes the first certificate. `dns_names` are in all of them, for clients that know a host. Each
  // is in `log`, where that is not null.
  static absl::StatusOr<std::unique_ptr<ServerIdentity>> Create(
      const Authority* authority, const Clock* clock, absl::Duration ttl = kTtl,
      std::vector<std::string> dns_names = {}, IssuanceLog* log = nullptr);

  std::shared_ptr<const Snapshot> current() const;
  // Makes the next certificate when it is time, another CA signs, or the present one is not valid
  // yet, as a clock that ran ahead and was set back leaves it; the present one stays when that
  // fails. True when there is a new one.
  absl::StatusOr<bool> RotateIfDue();
  // RotateIfDue(), and Rotate() where the present one is revoked, with a line in the log for each
  // new one, and for a failure, which is tried again at every call, one a minute. `whose` is for
  // people. On one thread.
  void KeepCurrent(absl::string_view whose, const Revocations& revocations, Logger* logger);
  // Makes the next certificate now.
  absl::Status Rotate();

 private:
  ServerIdentity(const Authority* authority, const Clock* clock, absl::Duration ttl,
                 std::vector<std::string> dns_names, IssuanceLog* log)
      : authority_(authority),
        clock_(clock),
        ttl_(ttl),
        dns_names_(std::move(dns_names)),
        log_(log) {}

  const Authority* const authority_;  // Not owned.
  const Clock* const clock_;          // Not owned.
  const absl::Duration ttl_;
  const std::vector<std::string> dns_names_;
  IssuanceLog* const log_;  // Not owned.
  mutable absl::Mutex mu_;
  std::shared_ptr<const Snapshot> current_ ABSL_GUARDED_BY(mu_);
  RepeatFilter failures_said_;  // Of KeepCurrent's thread.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_SERVER_SERVER_IDENTITY_H_
