#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_JWT_SVID_CACHE_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_JWT_SVID_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "certagent/workload_api/jwt_issuer.h"
#include "certagent/workload_api/workload_metrics.h"
#include "common/base/secret_bytes.h"
#include "common/event/event_loop.h"
#include "common/identity/identity_snapshot.h"

namespace byrnie {

// The workload's JWT-SVIDs, one for each set of audiences. A token is given out until half of its
// life is over, then replaced; when the authority cannot be reached, it is given out to its end. A
// token that does not verify against the bundles in force is never given out: not when it arrives,
// not later. Lives on the agent's loop.
class JwtSvidCache {
 public:
  struct Options {
    // Sets of audiences remembered; past that the one unused for longest is forgotten.
    size_t max_tokens = 256;
    // Calls to the authority under way; past that others are refused.
    size_t max_calls = 32;
    // Callers waiting for them.
    size_t max_waiting = 1024;
    // After a failure a set is not asked for again so soon.
    absl::Duration retry_after = absl::Seconds(2);
  };
  struct Token {
    SecretBytes svid;
    absl::Time expires_at;
    // Half of its life, by both clocks: the first to come counts, so that setting one makes no
    // token outlive it.
    absl::Time refresh_at;
    absl::Duration refresh_at_monotonic;
  };
  using TokenPtr = std::shared_ptr<const Token>;
  using Callback = absl::AnyInvocable<void(absl::StatusOr<TokenPtr>)>;

  // Pointers outlive the cache.
  JwtSvidCache(EventLoop* loop, JwtIssuer* issuer, WorkloadMetrics* metrics, Options options);
  JwtSvidCache(const JwtSvidCache&) = delete;
  JwtSvidCache& operator=(const JwtSvidCache&) = delete;
  ~JwtSvidCache();

  // The identity and bundles in force: tokens of another identity or of a key that was withdrawn
  // are forgotten.
  void OnIdentity(IdentitySnapshotPtr snapshot);

  // A token for the audiences, whatever their order. `done` runs exactly once, in a later turn, or
  // never when the cache is gone. InvalidArgument as CheckJwtAudiences; Unavailable before the
  // first certificate; ResourceExhausted; else as JwtIssuer.
  void Fetch(std::vector<std::string> audience, Callback done);

  size_t size() const { return entries_.size(); }

 private:
  using Key = std::vector<std::string>;  // Sorted, each once.
  struct Entry {
    TokenPtr token;
    bool calling = false;
    absl::Duration failed_until = -absl::InfiniteDuration();  // Monotonic.
    absl::Status failure;
    std::vector<Callback> waiting;
    uint64_t used = 0;  // When, as a number that grows.
  };

  void Answer(Callback done, absl::StatusOr<TokenPtr> answer);
  void Call(const Key& key, Entry* entry);
  void OnIssued(const Key& key, absl::StatusOr<SecretBytes> issued);
  absl::StatusOr<TokenPtr> Judge(const Key& key, SecretBytes svid) const;
  bool Usable(const Key& key, const Token& token) const;
  bool Fresh(const Token& token) const;
  void Shrink();

  EventLoop* const loop_;           // Not owned.
  JwtIssuer* const issuer_;         // Not owned.
  WorkloadMetrics* const metrics_;  // Not owned.
  const Options options_;
  // For callbacks: expired when this is gone.
  const std::shared_ptr<char> alive_ = std::make_shared<char>();
  IdentitySnapshotPtr snapshot_;
  std::map<Key, Entry> entries_;
  size_t calls_ = 0;
  size_t waiting_ = 0;
  uint64_t uses_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_JWT_SVID_CACHE_H_
