#ifndef BYRNIE_CONTROLPLANE_CA_JWT_KEY_KEEPER_H_
#define BYRNIE_CONTROLPLANE_CA_JWT_KEY_KEEPER_H_

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/monotonic_cond_var.h"
#include "common/telemetry/log.h"
#include "controlplane/ca/jwt_authority.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Keeps the keys of a JwtAuthority what the store has, on threads of its own, because a store may
// be away for seconds: takes in those of other control planes as soon as they are written, and has
// the next one made by the one that is chosen among those that share the store. Thread-safe. The
// destructor waits for a call of the store that is under way.
class JwtKeyKeeper final : private StoreListener {
 public:
  // How often it is looked whether it is time for the next key.
  static constexpr absl::Duration kTick = absl::Milliseconds(500);

  // The pointers outlive this.
  JwtKeyKeeper(JwtAuthority* authority, Store* store, Logger* logger);
  ~JwtKeyKeeper() override;

  // Whether the authority's public keys have changed since the last call.
  bool TakeChanged() { return changed_.exchange(false); }
  // Whether this is the one that makes the next key.
  bool leading() const { return election_->Leading().has_value(); }

 private:
  absl::Status OnReset() override;
  void OnChanges(const std::vector<StoreChange>&) override;
  // Notes what one look has brought, and says what went wrong.
  absl::Status Note(const absl::StatusOr<bool>& changed);
  void Run();

  JwtAuthority* const authority_;  // Not owned.
  Logger* const logger_;           // Not owned.
  std::atomic<bool> changed_{false};
  const std::unique_ptr<StoreElection> election_;
  absl::Mutex mu_;
  MonotonicCondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
  // Last: gone before what its calls need.
  std::unique_ptr<StoreWatch> watch_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_CA_JWT_KEY_KEEPER_H_
