#ifndef BYRNIE_CONTROLPLANE_STORE_TESTING_MEMORY_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_TESTING_MEMORY_STORE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/store/store.h"

namespace byrnie {

// A Store that forgets everything with the process. Thread-safe.
class MemoryStore final : public Store {
 public:
  // From now on every call returns `failure` and changes nothing; OK ends it.
  void FailWith(absl::Status failure);

  absl::StatusOr<absl::optional<AuthorityRecord>> LoadAuthority() override;
  absl::Status CreateAuthority(const AuthorityRecord& authority) override;
  absl::Status AddJoinToken(const JoinTokenRecord& token, absl::Time now) override;
  absl::StatusOr<JoinTokenRecord> FindJoinToken(const std::string& hash, absl::Time now) override;
  absl::Status ConsumeJoinToken(const std::string& hash, absl::Time now) override;
  absl::StatusOr<std::vector<JwtKeyRecord>> LoadJwtKeys(absl::Time now) override;
  absl::Status AddJwtKey(const JwtKeyRecord& key, absl::Time after, absl::Time now) override;
  absl::StatusOr<absl::optional<std::string>> LoadOperatorTokenHash() override;
  absl::Status SetOperatorTokenHash(const std::string& hash) override;

 private:
  absl::Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  absl::optional<AuthorityRecord> authority_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, JoinTokenRecord> tokens_ ABSL_GUARDED_BY(mu_);
  std::vector<JwtKeyRecord> jwt_keys_ ABSL_GUARDED_BY(mu_);  // By signs_from, then id.
  absl::optional<std::string> operator_hash_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_TESTING_MEMORY_STORE_H_
