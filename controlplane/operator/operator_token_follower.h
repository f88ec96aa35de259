#ifndef BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_TOKEN_FOLLOWER_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_TOKEN_FOLLOWER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/store/store.h"

namespace byrnie {

// Learns of the operator's token that the store knows, whichever control plane has replaced it.
class OperatorTokenFollower final : private StoreListener {
 public:
  // Calls `on_hash` on a thread of the store: with the hash that is there, and with each one that
  // takes its place; empty: nobody is to be let in, because there is none or it cannot be right.
  // Not once the follower is gone. The store outlives it.
  OperatorTokenFollower(Store* store, std::function<void(std::string)> on_hash);

 private:
  absl::Status OnReset() override;
  void OnChanges(const std::vector<StoreChange>& changes) override;

  Store* const store_;  // Not owned.
  const std::function<void(std::string)> on_hash_;
  // Last: gone before what its calls need.
  const std::unique_ptr<StoreWatch> watch_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_TOKEN_FOLLOWER_H_
