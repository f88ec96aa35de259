#ifndef BYRNIE_CERTAGENT_DISCOVERY_CACHE_H_
#define BYRNIE_CERTAGENT_DISCOVERY_CACHE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "certagent/mesh_resources.h"
#include "common/net/socket_address.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace byrnie {

// What the control plane has told about addresses and policies, and what is to be said to it: the
// client half of delta xDS without its transport. Feeding it responses yields requests. Not
// thread-safe; does no I/O and knows no time.
//
// Addresses are asked for one by one ("/10.0.0.1"), policies all. What was learnt is kept when the
// stream breaks, and only differences are asked for on the next one. A resource that does not parse
// is not applied and the response rejected: the last good one stays. A response with a broken
// policy is not applied at all: half of a policy set may allow what the whole denies.
class DiscoveryCache {
 public:
  static constexpr char kAddressType[] = "type.googleapis.com/istio.workload.Address";
  static constexpr char kAuthorizationType[] = "type.googleapis.com/istio.security.Authorization";

  // Addresses subscribed to at once. Beyond it those that are not in the mesh are forgotten, the
  // oldest first.
  static constexpr size_t kMaxSubscriptions = 16384;

  using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;

  enum class Answer { kUnknown, kFound, kNotFound };

  // What a response changed.
  struct Outcome {
    // The acknowledgement or rejection to send.
    Request reply;
    // Why the response was rejected, wholly or in part; empty: it was not.
    std::string rejected;
    std::vector<AddressPtr> upserts;
    std::vector<std::string> removals;
    // "network/ip" of the addresses that the response says something of.
    absl::flat_hash_set<std::string> answered;
    // The set of policies is another one, or known for the first time.
    bool policies_changed = false;
  };

  // `node_id` names the agent in the control plane's logs. All addresses are of `network`, empty:
  // the only one. `own` are the pod's, always subscribed.
  DiscoveryCache(std::string node_id, std::string network, const std::vector<IpAddress>& own);

  // The first requests of a new stream, with what is already known.
  std::vector<Request> OpenStream();

  // "network/ip", as in resource names and Outcome::answered.
  std::string NameOf(const IpAddress& address) const;
  // What is known of an address.
  Answer Lookup(const IpAddress& address) const;
  // The request that asks for an address, also for one that is known; the answer comes with a later
  // response. Nothing when there is no room left for another subscription.
  absl::optional<Request> Subscribe(const IpAddress& address);

  Outcome OnResponse(const Response& response);

  // All that is known, for a proxy that has just come.
  std::vector<AddressPtr> Addresses() const;
  // In the order of their names. Meaningful once policies_known().
  std::vector<PolicyPtr> Policies() const;
  // The complete set has been received once.
  bool policies_known() const { return policies_known_; }
  size_t address_count() const { return addresses_.size(); }
  size_t subscription_count() const { return subscriptions_.size(); }

 private:
  struct KnownAddress {
    std::string version;
    AddressPtr address;
    std::vector<std::string> names;  // "network/ip" of each of its addresses.
  };
  struct KnownPolicy {
    std::string version;
    PolicyPtr policy;
  };

  void OnAddresses(const Response& response, Outcome* outcome);
  void OnPolicies(const Response& response, Outcome* outcome);
  void Forget(const std::string& key);
  // Unsubscribes from addresses that are not in the mesh until one more fits; false when none is
  // left.
  bool MakeRoom(Request* request);

  const std::string node_id_;
  const std::string network_;
  const std::vector<std::string> own_;
  std::map<std::string, KnownAddress> addresses_;              // By key.
  absl::flat_hash_map<std::string, std::string> key_by_name_;  // "network/ip" to key.
  absl::flat_hash_map<std::string, bool> subscriptions_;       // True: known to be absent.
  std::deque<std::string>
      absent_;  // Candidates for MakeRoom, oldest first; may hold names that are no longer absent.
  std::map<std::string, KnownPolicy> policies_;  // By "namespace/name".
  bool policies_known_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_DISCOVERY_CACHE_H_
