#ifndef BYRNIE_CONTROLPLANE_CA_PLUGGED_CA_H_
#define BYRNIE_CONTROLPLANE_CA_PLUGGED_CA_H_

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/base/file_fingerprint.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/ca/signing_authority.h"

namespace byrnie {

// A CA that somebody else made, in a directory with the names of Istio's secret "cacerts":
//
//   ca-cert.pem     the certificate that signs: a root, or an intermediate below one
//   ca-key.pem      its key, P-256, P-384 or RSA, unencrypted; nobody but owner and group may read
//                   it
//   root-cert.pem   what everybody trusts: the root, and others where roots are being replaced
//   cert-chain.pem  the way from ca-cert.pem up; may be left out where that is the root's own
//                   child, and may hold ca-cert.pem and the root, as Istio's does
//
// What it signs is issued with the intermediates. The files are read again when they change, and
// what is wrong then is logged and counted while the last good ones stay in force: a directory that
// is replaced file by file is wrong for a moment. Lives on one thread; reads the disk.
class PluggedCa {
 public:
  // InvalidArgument, NotFound, PermissionDenied name the file, what is wrong and what to do: the
  // key is not the certificate's, a certificate may not sign or has expired or is not valid yet,
  // the chain does not lead to the root, or what it would issue would be refused by VerifySvid,
  // the control plane's own certificates for the host names `own_names` included.
  static absl::StatusOr<std::unique_ptr<PluggedCa>> Create(std::string directory,
                                                           std::string trust_domain,
                                                           const Clock* clock, Logger* logger,
                                                           MetricRegistry* metrics,
                                                           std::vector<std::string> own_names = {});

  // Looks at the files, about twice a second; true when snapshot() has changed.
  bool Poll();
  const AuthoritySnapshotPtr& snapshot() const { return snapshot_; }
  // Why the files as they are now are not what is in force; OK: they are.
  const absl::Status& state() const { return state_; }

 private:
  static constexpr size_t kFiles = 4;
  using Fingerprints = std::array<absl::optional<FileFingerprint>, kFiles>;

  PluggedCa(std::string directory, std::string trust_domain, std::vector<std::string> own_names,
            const Clock* clock, Logger* logger, MetricRegistry* metrics);
  Fingerprints Look() const;
  absl::StatusOr<AuthoritySnapshotPtr> Read() const;
  std::string PathOf(const char* name) const;

  const std::string directory_;
  const std::string trust_domain_;
  const std::vector<std::string> own_names_;
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  Counter* const reads_ok_;
  Counter* const reads_rejected_;
  Fingerprints seen_;
  AuthoritySnapshotPtr snapshot_;
  absl::Status state_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_PLUGGED_CA_H_
