#include "controlplane/operator/operator_token_follower.h"

#include <utility>

#include "controlplane/records/operator_token_record.h"

namespace byrnie {

OperatorTokenFollower::OperatorTokenFollower(Store* store, std::function<void(std::string)> on_hash)
    : store_(store), on_hash_(std::move(on_hash)), watch_(store->Watch(kOperatorTokenKey, this)) {}

absl::Status OperatorTokenFollower::OnReset() {
  const absl::StatusOr<absl::optional<std::string>> hash = LoadOperatorTokenHash(store_);
  // A store that is away changes nothing.
  if (absl::IsUnavailable(hash.status())) return hash.status();
  on_hash_(hash.ok() ? hash->value_or("") : "");
  return absl::OkStatus();
}

void OperatorTokenFollower::OnChanges(const std::vector<StoreChange>& changes) {
  for (const StoreChange& change : changes) {
    if (change.key != kOperatorTokenKey) continue;
    on_hash_(change.value.has_value() ? ParseOperatorTokenHash(*change.value).value_or("") : "");
  }
}

}  // namespace byrnie
