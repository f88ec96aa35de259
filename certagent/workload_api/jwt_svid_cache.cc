#include "certagent/workload_api/jwt_svid_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/identity/jwt_svid.h"

namespace byrnie {

JwtSvidCache::JwtSvidCache(EventLoop* loop, JwtIssuer* issuer, WorkloadMetrics* metrics,
                           Options options)
    : loop_(loop), issuer_(issuer), metrics_(metrics), options_(options) {}

JwtSvidCache::~JwtSvidCache() = default;

void JwtSvidCache::OnIdentity(IdentitySnapshotPtr snapshot) {
  DCHECK(loop_->InLoopThread());
  snapshot_ = std::move(snapshot);
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    if (entry.token != nullptr && !Usable(it->first, *entry.token)) entry.token = nullptr;
    it = entry.token == nullptr && !entry.calling ? entries_.erase(it) : std::next(it);
  }
}

void JwtSvidCache::Fetch(std::vector<std::string> audience, Callback done) {
  DCHECK(loop_->InLoopThread());
  absl::Status good = CheckJwtAudiences(audience);
  if (!good.ok()) return Answer(std::move(done), std::move(good));
  if (snapshot_ == nullptr) {
    return Answer(std::move(done), absl::UnavailableError("there is no certificate yet"));
  }
  std::sort(audience.begin(), audience.end());
  audience.erase(std::unique(audience.begin(), audience.end()), audience.end());
  Entry& entry = entries_[audience];
  entry.used = ++uses_;
  if (entry.token != nullptr && entry.token->expires_at <= loop_->WallNow()) entry.token = nullptr;
  const bool failed_lately = loop_->Now() < entry.failed_until;
  if (entry.token != nullptr && (Fresh(*entry.token) || failed_lately)) {
    return Answer(std::move(done), entry.token);
  }
  if (!entry.calling && failed_lately) {
    return Answer(std::move(done), entry.failure);
  }
  if (waiting_ >= options_.max_waiting || (!entry.calling && calls_ >= options_.max_calls)) {
    const TokenPtr old = entry.token;
    if (old == nullptr && !entry.calling) entries_.erase(audience);
    if (old != nullptr) return Answer(std::move(done), old);
    return Answer(std::move(done),
                  absl::ResourceExhaustedError("too many JWT-SVIDs are being asked for"));
  }
  ++waiting_;
  entry.waiting.push_back(std::move(done));
  if (!entry.calling) Call(audience, &entry);
  Shrink();
}

void JwtSvidCache::Answer(Callback done, absl::StatusOr<TokenPtr> answer) {
  (answer.ok() ? metrics_->jwt_cached : metrics_->jwt_failed)->Increment();
  loop_->Post([alive = std::weak_ptr<char>(alive_), done = std::move(done),
               answer = std::move(answer)]() mutable {
    if (!alive.expired()) done(std::move(answer));
  });
}

void JwtSvidCache::Call(const Key& key, Entry* entry) {
  entry->calling = true;
  ++calls_;
  issuer_->Issue(
      key, [this, alive = std::weak_ptr<char>(alive_), key](absl::StatusOr<SecretBytes> issued) {
        if (!alive.expired()) OnIssued(key, std::move(issued));
      });
}

void JwtSvidCache::OnIssued(const Key& key, absl::StatusOr<SecretBytes> issued) {
  --calls_;
  auto it = entries_.find(key);
  CHECK(it != entries_.end());  // One that is waited for is never forgotten.
  Entry& entry = it->second;
  entry.calling = false;
  absl::StatusOr<TokenPtr> token =
      issued.ok() ? Judge(key, *std::move(issued)) : absl::StatusOr<TokenPtr>(issued.status());
  if (token.ok()) {
    entry.token = *token;
    entry.failed_until = -absl::InfiniteDuration();
  } else {
    entry.failure = token.status();
    entry.failed_until = loop_->Now() + options_.retry_after;
    // What is left of the present one is better than nothing.
    if (entry.token != nullptr && entry.token->expires_at > loop_->WallNow()) token = entry.token;
  }
  std::vector<Callback> waiting = std::move(entry.waiting);
  entry.waiting.clear();
  waiting_ -= waiting.size();
  (token.ok() ? metrics_->jwt_issued : metrics_->jwt_failed)->Increment(waiting.size());
  const std::weak_ptr<char> alive = alive_;
  Shrink();
  for (Callback& done : waiting) {
    if (alive.expired()) return;
    done(token);
  }
}

absl::StatusOr<JwtSvidCache::TokenPtr> JwtSvidCache::Judge(const Key& key, SecretBytes svid) const {
  auto token = std::make_shared<Token>();
  token->svid = std::move(svid);
  const absl::Time now = loop_->WallNow();
  for (const std::string& name : key) {
    absl::StatusOr<JwtSvid> verified =
        VerifyJwtSvid(token->svid.view(), name, snapshot_->bundles(), now);
    if (!verified.ok()) {
      return absl::UnavailableError(absl::StrCat("the authority sent a token that is not usable: ",
                                                 verified.status().message()));
    }
    if (verified->id != snapshot_->id()) {
      return absl::UnavailableError("the authority sent a token of another identity");
    }
    token->expires_at = verified->expires_at;
  }
  const absl::Duration half = (token->expires_at - now) / 2;
  token->refresh_at = now + half;
  token->refresh_at_monotonic = loop_->Now() + half;
  return TokenPtr(std::move(token));
}

bool JwtSvidCache::Usable(const Key& key, const Token& token) const {
  absl::StatusOr<JwtSvid> svid =
      VerifyJwtSvid(token.svid.view(), key.front(), snapshot_->bundles(), loop_->WallNow());
  return svid.ok() && svid->id == snapshot_->id();
}

bool JwtSvidCache::Fresh(const Token& token) const {
  return loop_->WallNow() < token.refresh_at && loop_->Now() < token.refresh_at_monotonic;
}

void JwtSvidCache::Shrink() {
  while (entries_.size() > options_.max_tokens) {
    auto oldest = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->second.calling) continue;
      if (oldest == entries_.end() || it->second.used < oldest->second.used) oldest = it;
    }
    if (oldest == entries_.end()) return;
    entries_.erase(oldest);
  }
}

}  // namespace byrnie
