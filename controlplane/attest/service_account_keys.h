#ifndef BYRNIE_CONTROLPLANE_ATTEST_SERVICE_ACCOUNT_KEYS_H_
#define BYRNIE_CONTROLPLANE_ATTEST_SERVICE_ACCOUNT_KEYS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "controlplane/attest/jwt_trust.h"
#include "controlplane/kubernetes/api_client.h"

namespace byrnie {

// Keeps the keys that the API server signs service accounts' tokens with, for when it cannot be
// asked about one: fetched from its OpenID configuration and JWKS from time to time, as what a
// JwtAttestor takes. What was fetched last stays in force. Lives on one loop; the pointers, and
// what `random` borrows, outlive it.
class ServiceAccountKeys {
 public:
  static constexpr absl::Duration kInterval = absl::Minutes(5);
  // Between two fetches at least, whatever asks for them.
  static constexpr absl::Duration kLeastInterval = absl::Seconds(10);
  // No token lives longer, from when it was made to its end: kubelets renew those of a day.
  static constexpr absl::Duration kMaxLife = absl::Hours(48);

  using Listener = std::function<void(JwtTrustPtr trust)>;

  ServiceAccountKeys(std::string trust_domain, std::vector<std::string> audiences,
                     ApiClient* client, EventLoop* loop, absl::BitGenRef random, Logger* logger,
                     Listener listener);
  ServiceAccountKeys(const ServiceAccountKeys&) = delete;
  ServiceAccountKeys& operator=(const ServiceAccountKeys&) = delete;

  // Somebody knows of a key that is not among them: fetches now, where the last time is a while
  // ago.
  void FetchSoon();

 private:
  void Fetch();
  void Get(absl::string_view target, absl::string_view accept,
           std::function<absl::Status(const std::string& body)> then);
  absl::Status OnConfiguration(const std::string& body);
  absl::Status OnKeys(const std::string& body);
  void Fail(const absl::Status& why);

  const std::string trust_domain_;
  const std::vector<std::string> audiences_;
  ApiClient* const client_;  // Not owned.
  EventLoop* const loop_;    // Not owned.
  Logger* const logger_;     // Not owned.
  const Listener listener_;
  Backoff backoff_;
  bool fetching_ = false;
  absl::Duration fetch_begun_;
  std::string issuer_;
  std::string logged_;
  std::unique_ptr<EventLoop::Timer> fetch_;
  std::unique_ptr<EventLoop::Timer> next_;
  std::function<void()> step_;
  std::unique_ptr<ApiClient::Call> call_;
};

// The trust that makes of a set of keys of `issuer`: identities of service accounts, from tokens
// that are bound to a pod.
absl::StatusOr<JwtTrustPtr> ServiceAccountTrust(absl::string_view issuer, absl::string_view jwks,
                                                const std::vector<std::string>& audiences,
                                                absl::string_view trust_domain);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_ATTEST_SERVICE_ACCOUNT_KEYS_H_
