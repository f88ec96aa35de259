#include "controlplane/attest/used_tokens.h"

namespace byrnie {

bool UsedTokens::Has(absl::string_view issuer, absl::string_view hash) const {
  absl::MutexLock lock(&mu_);
  const auto shelf = shelves_.find(issuer);
  return shelf != shelves_.end() && shelf->second.hashes.count(std::string(hash)) > 0;
}

UsedTokens::Result UsedTokens::Note(absl::string_view issuer, absl::string_view hash,
                                    absl::Time end, absl::Time now) {
  absl::MutexLock lock(&mu_);
  Shelf& shelf = shelves_[std::string(issuer)];
  while (!shelf.by_end.empty() && shelf.by_end.begin()->first <= now) {
    shelf.hashes.erase(shelf.by_end.begin()->second);
    shelf.by_end.erase(shelf.by_end.begin());
  }
  const std::string key(hash);
  if (shelf.hashes.count(key) > 0) return Result::kUsed;
  if (shelf.hashes.size() >= capacity_) return Result::kFull;
  shelf.hashes.insert(key);
  shelf.by_end.emplace(end, key);
  return Result::kNoted;
}

void UsedTokens::Forget(absl::string_view issuer, absl::string_view hash, absl::Time end) {
  absl::MutexLock lock(&mu_);
  const auto shelf = shelves_.find(issuer);
  if (shelf == shelves_.end() || shelf->second.hashes.erase(std::string(hash)) == 0) return;
  shelf->second.by_end.erase({end, std::string(hash)});
}

}  // namespace byrnie
