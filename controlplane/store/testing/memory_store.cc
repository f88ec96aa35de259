#include "controlplane/store/testing/memory_store.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/base/status_macros.h"

namespace byrnie {
namespace {

AuthorityRecord Copy(const AuthorityRecord& record) {
  return AuthorityRecord{record.trust_domain, record.root_der, record.key_pkcs8.Clone()};
}

JwtKeyRecord Copy(const JwtKeyRecord& record) {
  return JwtKeyRecord{record.id, record.key_pkcs8.Clone(), record.signs_from, record.not_after};
}

}  // namespace

void MemoryStore::FailWith(absl::Status failure) {
  absl::MutexLock lock(&mu_);
  failure_ = std::move(failure);
}

absl::StatusOr<absl::optional<AuthorityRecord>> MemoryStore::LoadAuthority() {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  if (!authority_.has_value()) return absl::optional<AuthorityRecord>();
  return absl::optional<AuthorityRecord>(Copy(*authority_));
}

absl::Status MemoryStore::CreateAuthority(const AuthorityRecord& authority) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  if (authority_.has_value()) return absl::AlreadyExistsError("there is an authority");
  authority_ = Copy(authority);
  return absl::OkStatus();
}

absl::Status MemoryStore::AddJoinToken(const JoinTokenRecord& token, absl::Time now) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  for (auto it = tokens_.begin(); it != tokens_.end();) {
    it = it->second.expires_at <= now ? tokens_.erase(it) : std::next(it);
  }
  if (tokens_.size() >= static_cast<size_t>(kMaxJoinTokens)) {
    return absl::ResourceExhaustedError("too many tokens");
  }
  if (!tokens_.emplace(token.hash, token).second) return absl::AlreadyExistsError("known token");
  return absl::OkStatus();
}

absl::StatusOr<JoinTokenRecord> MemoryStore::FindJoinToken(const std::string& hash,
                                                           absl::Time now) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  auto it = tokens_.find(hash);
  if (it == tokens_.end() || it->second.expires_at <= now) return absl::NotFoundError("no token");
  return it->second;
}

absl::Status MemoryStore::ConsumeJoinToken(const std::string& hash, absl::Time now) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  auto it = tokens_.find(hash);
  if (it == tokens_.end() || it->second.expires_at <= now) return absl::NotFoundError("no token");
  tokens_.erase(it);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<JwtKeyRecord>> MemoryStore::LoadJwtKeys(absl::Time now) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  std::vector<JwtKeyRecord> keys;
  for (const JwtKeyRecord& key : jwt_keys_) {
    if (key.not_after > now) keys.push_back(Copy(key));
  }
  return keys;
}

absl::Status MemoryStore::AddJwtKey(const JwtKeyRecord& key, absl::Time after, absl::Time now) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  jwt_keys_.erase(std::remove_if(jwt_keys_.begin(), jwt_keys_.end(),
                                 [now](const JwtKeyRecord& old) { return old.not_after <= now; }),
                  jwt_keys_.end());
  for (const JwtKeyRecord& other : jwt_keys_) {
    if (other.id == key.id || other.signs_from > after) {
      return absl::AlreadyExistsError("there is a later key");
    }
  }
  const auto place = std::upper_bound(
      jwt_keys_.begin(), jwt_keys_.end(), key, [](const JwtKeyRecord& a, const JwtKeyRecord& b) {
        return std::tie(a.signs_from, a.id) < std::tie(b.signs_from, b.id);
      });
  jwt_keys_.insert(place, Copy(key));
  return absl::OkStatus();
}

absl::StatusOr<absl::optional<std::string>> MemoryStore::LoadOperatorTokenHash() {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  return operator_hash_;
}

absl::Status MemoryStore::SetOperatorTokenHash(const std::string& hash) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(failure_);
  operator_hash_ = hash;
  return absl::OkStatus();
}

}  // namespace byrnie
