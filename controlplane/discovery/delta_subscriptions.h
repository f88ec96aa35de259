#ifndef BYRNIE_CONTROLPLANE_DISCOVERY_DELTA_SUBSCRIPTIONS_H_
#define BYRNIE_CONTROLPLANE_DISCOVERY_DELTA_SUBSCRIPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "controlplane/registry/snapshot.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace byrnie {

// What one delta ADS stream has asked for and has been told (xDS protocol, "Incremental xDS"): a
// pure state machine. The owner gives it every request, calls OnRegistryChanged() when there is a
// new snapshot, and calls Next() whenever it can write, until there is nothing more. Between two
// calls of Next() any number of changes become one: a reader that is slow gets fewer and newer
// messages, and nothing queues up. Lives under its owner's lock.
//
// Address resources may be asked for by key or by "network/ip". A service comes with the workloads
// behind it. What the client was once sent is kept up to date until it unsubscribes: a workload
// that stops being an endpoint is sent as it now is.
class DeltaSubscriptions {
 public:
  using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;

  // Names one stream may hold, by subscription or as what it still has.
  static constexpr size_t kMaxNames = 100000;
  static constexpr size_t kMaxNameLength = 1024;
  // No response is sent while this many are not acknowledged.
  static constexpr size_t kMaxUnacknowledged = 64;
  // A response ends after this many bytes of resources; the rest goes into the next.
  static constexpr size_t kResponseBytes = 512 * 1024;

  // What the client said about a response.
  struct Feedback {
    bool rejected = false;
    std::string type_url;
    std::string nonce;
    std::string error;
  };

  // Takes in one request. Feedback is absent for a request that acknowledges nothing, or a response
  // that is not waiting for it. InvalidArgument or ResourceExhausted: the stream is to be ended
  // with that status.
  absl::StatusOr<absl::optional<Feedback>> OnRequest(const Request& request);

  void OnRegistryChanged();

  // The next message to send; absent when there is none now.
  absl::optional<Response> Next(const RegistrySnapshot& snapshot);

 private:
  struct Type {
    bool started = false;
    bool wildcard = false;
    absl::btree_set<std::string> names;
    // Resources the client has, by key, with their versions.
    absl::btree_map<std::string, std::string> sent;
    // Subscribed names the client was told do not exist.
    absl::btree_set<std::string> absent;
    // Subscribed now: to be answered even when the client has the newest.
    absl::btree_set<std::string> asked;
    // Unsubscribed now: what only they wanted is to be forgotten.
    absl::btree_set<std::string> dropped;
    bool wildcard_dropped = false;
    // Something may have to be sent.
    bool dirty = false;
    // The client waits for an answer, also an empty one.
    bool owes_answer = false;
  };

  Type* FindType(const std::string& url);
  absl::Status Subscribe(const Request& request, Type* type);
  absl::optional<Feedback> TakeFeedback(const Request& request);
  void Forget(ResourceType resource_type, const RegistrySnapshot& snapshot, Type* type);
  absl::optional<Response> NextOf(ResourceType resource_type, const RegistrySnapshot& snapshot);
  absl::optional<Response> NextUnknownType();
  void Seal(Response* response);

  Type types_[2];
  // Types nobody serves, with the names to answer as absent.
  absl::btree_map<std::string, absl::btree_set<std::string>> unknown_types_;
  uint64_t last_nonce_ = 0;
  absl::btree_set<uint64_t> unacknowledged_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_DISCOVERY_DELTA_SUBSCRIPTIONS_H_
