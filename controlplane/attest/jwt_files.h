#ifndef BYRNIE_CONTROLPLANE_ATTEST_JWT_FILES_H_
#define BYRNIE_CONTROLPLANE_ATTEST_JWT_FILES_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/base/file_fingerprint.h"
#include "common/crypto/token/jwk_set.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/attest/jwt_config.h"
#include "controlplane/attest/jwt_trust.h"

namespace byrnie {

// The file of --jwt_config and the key sets it names, which may change at any time. Lives on one
// thread; reads the disk. The pointers outlive it.
//
// A file that cannot be read or is invalid is logged and counted once, and what it said before
// stays in force: the issuers as a whole, the keys of each issuer by themselves. Issuers come into
// force when all their key sets have been read, so the order in which files are written does not
// matter.
class JwtFiles {
 public:
  // Reads everything for the first time. Errors name the flag and the file.
  static absl::StatusOr<std::unique_ptr<JwtFiles>> Create(std::string path,
                                                          std::string trust_domain, Logger* log,
                                                          MetricRegistry* metrics);
  JwtFiles(const JwtFiles&) = delete;
  JwtFiles& operator=(const JwtFiles&) = delete;

  // Looks at the files, about twice a second; true when trust() may be another one.
  bool Poll();

  // What is in force.
  const JwtTrustPtr& trust() const { return trust_; }

  // The key sets that the file names.
  std::vector<std::string> KeyFiles() const;

  // Why each file that is not in force as it is now is not.
  std::vector<std::string> Rejected() const;

 private:
  struct KeyFile {
    // Absent before the first look, and of a file that is not there.
    absl::optional<FileFingerprint> seen;
    // Of the latest reading.
    absl::Status status = absl::NotFoundError("not read yet");
    // The last good content; null when there was none.
    std::shared_ptr<const JwkSet> keys;
  };

  JwtFiles(std::string path, std::string trust_domain, Logger* log, MetricRegistry* metrics);
  // Both return whether the file is another one than at the last look.
  bool LookAtConfig();
  bool LookAtKeys(const std::string& path);
  // Reads what has changed; true when something was read.
  bool Look();
  void LogRejected(const std::string& path, const absl::Status& status);
  // Why the candidate cannot be put in force.
  absl::Status CheckCandidate() const;
  JwtTrustPtr MakeTrust() const;

  const std::string path_;
  const std::string trust_domain_;
  Logger* const log_;  // Not owned.
  Counter* const reads_ok_;
  Counter* const reads_rejected_;
  absl::optional<FileFingerprint> seen_;
  // What the file says now, and what was good and complete last.
  absl::StatusOr<std::shared_ptr<const JwtConfig>> candidate_;
  std::shared_ptr<const JwtConfig> config_;
  std::map<std::string, KeyFile> key_files_;
  JwtTrustPtr trust_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_JWT_FILES_H_
