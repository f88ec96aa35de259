#ifndef BYRNIE_CONTROLPLANE_CA_TESTING_MEMORY_REVOCATION_STORE_H_
#define BYRNIE_CONTROLPLANE_CA_TESTING_MEMORY_REVOCATION_STORE_H_

#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controlplane/ca/revocations.h"

namespace byrnie {

// A RevocationStore in memory that fails on demand.
class MemoryRevocationStore final : public RevocationStore {
 public:
  absl::StatusOr<std::vector<RevokedCertificate>> Load() override {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    std::vector<RevokedCertificate> all;
    for (const auto& entry : by_serial_) all.push_back(entry.second);
    return all;
  }
  absl::StatusOr<bool> Add(const RevokedCertificate& revoked) override {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    return by_serial_.emplace(revoked.serial, revoked).second;
  }
  absl::Status Remove(const std::string& serial) override {
    absl::MutexLock lock(&mu_);
    if (failure_.ok()) by_serial_.erase(serial);
    return failure_;
  }
  absl::StatusOr<std::vector<KeptList>> LoadLists(const std::vector<KeptList>&) override {
    absl::MutexLock lock(&mu_);
    if (!failure_.ok()) return failure_;
    std::vector<KeptList> all;
    for (const auto& entry : by_issuer_) all.push_back(entry.second);
    return all;
  }
  absl::Status KeepList(const KeptList& kept) override {
    absl::MutexLock lock(&mu_);
    if (failure_.ok()) by_issuer_[kept.issuer] = kept;
    return failure_;
  }
  absl::Status RemoveList(const std::string& issuer) override {
    absl::MutexLock lock(&mu_);
    if (failure_.ok()) by_issuer_.erase(issuer);
    return failure_;
  }

  // Until FailWith(OkStatus()).
  void FailWith(absl::Status status) {
    absl::MutexLock lock(&mu_);
    failure_ = std::move(status);
  }

 private:
  absl::Mutex mu_;
  std::map<std::string, RevokedCertificate> by_serial_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, KeptList> by_issuer_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_TESTING_MEMORY_REVOCATION_STORE_H_
