#ifndef BYRNIE_CONTROLPLANE_DISCOVERY_NAME_BUDGET_H_
#define BYRNIE_CONTROLPLANE_DISCOVERY_NAME_BUDGET_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace byrnie {

// What the discovery streams of one identity, and of all, may hold together, so that one stolen
// certificate, or one workload gone mad, does not take the memory of all. Not by certificate:
// whoever has one can have it renewed. Where all hold much those who hold little are not refused.
// Thread-safe; outlives its shares.
class NameBudget {
 public:
  // What a stream costs that names nothing.
  static constexpr size_t kStreamBytes = 16 * 1024;
  // Of one identity, by kStreamBytes and DeltaSubscriptions::held_bytes(): three thousand pods of
  // one service account that name fifty destinations each, or 4096 streams.
  static constexpr size_t kMaxIdentityBytes = 64 * 1024 * 1024;
  // Of all identities, beyond which one may still hold so much: 256 streams.
  static constexpr size_t kMaxBytes = 512 * 1024 * 1024, kAlwaysBytes = 4 * 1024 * 1024;

  // What one stream has of it, given back when it is gone.
  class Share {
   public:
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share();
    // Holds so many bytes from now on, instead of what it did. ResourceExhausted: the others of its
    // identity, or of all, leave less; it holds what it did.
    absl::Status Hold(size_t bytes);

   private:
    friend class NameBudget;
    Share(NameBudget* budget, std::string identity)
        : budget_(budget), identity_(std::move(identity)) {}

    NameBudget* const budget_;  // Not owned.
    const std::string identity_;
    size_t bytes_ = 0;
  };

  // For one more stream of `identity`. ResourceExhausted: what there is leaves no room for it.
  absl::StatusOr<std::unique_ptr<Share>> Open(const std::string& identity);

 private:
  absl::Mutex mu_;
  // By identity; those that hold something alone.
  absl::flat_hash_map<std::string, size_t> held_ ABSL_GUARDED_BY(mu_);
  // By all of them.
  size_t total_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_DISCOVERY_NAME_BUDGET_H_
