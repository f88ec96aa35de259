#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_SECRET_SUBSCRIPTION_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_SECRET_SUBSCRIPTION_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "certagent/workload_api/secret_catalog.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace byrnie {

// What one client of secret discovery has subscribed to and what it was sent, in the two forms of
// the protocol. Both: a response is sent when something the client wants differs from what it was
// sent last, and never again for the same content, whether it was accepted (ACK), rejected (NACK)
// or not answered. Names that mean nothing now are kept: they may later. On no thread of its own;
// its stream guards it.

// More names, or longer ones, end the stream.
constexpr size_t kMaxSecretNames = 64;
constexpr size_t kMaxSecretNameLength = 2048;

// What a request said of an earlier response.
struct SecretFeedback {
  std::string nonce;
  // Empty: accepted.
  std::string error;
};

// State of the world: each request names everything, each response has everything.
class SecretSubscription {
 public:
  using Request = envoy::service::discovery::v3::DiscoveryRequest;
  using Response = envoy::service::discovery::v3::DiscoveryResponse;

  // Takes in a request. Absent when it says nothing of the newest response: one with an older nonce
  // is ignored altogether, because the client will send another. InvalidArgument ends the stream.
  absl::StatusOr<absl::optional<SecretFeedback>> OnRequest(const Request& request);
  // The response to send now, if any; `catalog` null: nothing is known.
  absl::optional<Response> Next(const SecretCatalog* catalog);

 private:
  bool started_ = false;
  bool wildcard_ = false;  // Has never named anything.
  std::vector<std::string> names_;
  // The version of each name as it was sent; empty when the client was told that there is none.
  std::map<std::string, std::string> sent_;
  uint64_t last_nonce_ = 0;
  std::string nonce_, version_;  // Of the newest response.
};

// Incremental: requests add and remove names, responses have what differs.
class DeltaSecretSubscription {
 public:
  using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;

  // As SecretSubscription; only what is said of an older response is ignored here, names count.
  absl::StatusOr<absl::optional<SecretFeedback>> OnRequest(const Request& request);
  absl::optional<Response> Next(const SecretCatalog* catalog);

 private:
  bool started_ = false;
  bool wildcard_ = false;
  std::set<std::string> names_;
  std::map<std::string, std::string> sent_;  // As SecretSubscription.
  uint64_t last_nonce_ = 0;
  std::string nonce_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_SECRET_SUBSCRIPTION_H_
