#ifndef BYRNIE_CONTROLPLANE_DISCOVERY_DELTA_SUBSCRIPTIONS_H_
#define BYRNIE_CONTROLPLANE_DISCOVERY_DELTA_SUBSCRIPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "controlplane/discovery/held_resources.h"
#include "controlplane/registry/snapshot.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace byrnie {

// What one delta ADS stream has asked for and has been told (xDS protocol, "Incremental xDS"): a
// pure state machine. The owner gives it every request, and calls Next() whenever there is a new
// snapshot or it can write, until there is nothing more. Between two calls of Next() any number of
// changes become one: a reader that is slow gets fewer and newer messages, and nothing queues up.
// Lives under its owner's lock.
//
// Address resources may be asked for by key or by "network/ip". A service comes with the workloads
// behind it. What the client was once sent is kept up to date until it unsubscribes: a workload
// that stops being an endpoint is sent as it now is. While something may be at any address
// (RegistrySnapshot::HasUnplaced) nobody is told that there is nothing at one.
//
// A new snapshot costs what is different in it, not what is in it or what the client has: snapshots
// are compared, and what was asked for by name is looked at only where the difference concerns it.
// For a client that wants everything nothing is kept but the snapshot it has.
class DeltaSubscriptions {
 public:
  using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
  using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;

  // Names one stream may hold, by subscription or as what it still has.
  static constexpr size_t kMaxNames = 100000;
  static constexpr size_t kMaxNameLength = 1024;
  // What the names that a client has given, and what it was sent for them, may hold: as many as
  // above of the usual length, and far fewer that are as long as they may be.
  static constexpr size_t kMaxHeldBytes = 12 * 1024 * 1024;
  // What a name costs beside its bytes.
  static constexpr size_t kNameCost = 96;
  // No response is sent while this many are not acknowledged.
  static constexpr size_t kMaxUnacknowledged = 64;
  // A response ends after this many bytes of resources; the rest goes into the next. It is also
  // what a reader that hangs holds, twice.
  static constexpr size_t kResponseBytes = 128 * 1024;

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

  // The next message to send; absent when there is none now. Not called with an older snapshot than
  // before. It may make the stream hold more.
  absl::optional<Response> Next(const RegistrySnapshotPtr& snapshot);

  // What is kept for the client: names it subscribes to, what it said it has, what it was sent, and
  // what is still to be sent.
  size_t held_bytes() const;
  // ResourceExhausted when the stream holds too much, and is to be ended.
  absl::Status CheckHeld() const;

  // Whether there is no next message until the client acknowledges one.
  bool awaits_acknowledgement() const { return unacknowledged_.size() >= kMaxUnacknowledged; }

 private:
  using Names = absl::btree_set<std::string>;
  class Filling;

  // The way of a client that wants everything from one snapshot to another, in the order of keys.
  struct Walk {
    // What the client has above `cursor`, and up to it; the same once the walk is done.
    RegistrySnapshotPtr from, to;
    std::string cursor;
    // What the client had when it came, as it says, and nobody has compared yet.
    HeldResources claimed;
  };
  struct Type {
    bool started = false;
    bool wildcard = false;
    // Subscribed to, and whether the client was told that there is no such resource.
    absl::btree_map<std::string, bool> names;
    // What the client has, by key, unless it wants everything.
    HeldResources sent;
    // Present while it does.
    absl::optional<Walk> walk;
    // The snapshot whose difference to the one before has been looked at.
    RegistrySnapshotPtr seen;
    // Subscribed now: to be answered even when the client has the newest.
    Names asked;
    // Unsubscribed now: what only they wanted is to be forgotten.
    Names dropped;
    // Names to be resolved; keys to be compared with what the client has; keys of services, whose
    // turn is when their workloads have been sent; keys to be sent whatever the client has.
    Names names_due, keys_due, services_due, forced;
    // The client waits for an answer, also an empty one.
    bool owes_answer = false;
  };

  // Without what is still to be sent, which the registry's size bounds, and time.
  size_t kept_bytes() const;
  Type* FindType(const std::string& url);
  absl::Status Subscribe(const Request& request, Type* type);
  absl::optional<Feedback> TakeFeedback(const Request& request);
  static void Follow(ResourceType resource_type, const RegistrySnapshotPtr& snapshot, Type* type);
  static void BeginWalk(const RegistrySnapshotPtr& snapshot, Type* type);
  static void EndWalk(ResourceType resource_type, Type* type);
  static void Mark(ResourceType resource_type, const RegistrySnapshot& after, Type* type);
  static void Forget(ResourceType resource_type, const RegistrySnapshot& snapshot, Type* type);
  static void Resolve(const RegistrySnapshot& snapshot, Type* type, Filling* out);
  static void Compare(const RegistrySnapshot& snapshot, Names* due, Type* type, Filling* out);
  static void GoOn(const RegistrySnapshotPtr& snapshot, Walk* walk, Filling* out);
  absl::optional<Response> NextOf(ResourceType resource_type, const RegistrySnapshotPtr& snapshot);
  absl::optional<Response> NextUnknownType();
  void Seal(Response* response);

  Type types_[2];
  // Types nobody serves, with the names to answer as absent.
  absl::btree_map<std::string, absl::btree_set<std::string>> unknown_types_;
  // Of all types' names.
  size_t name_bytes_ = 0;
  uint64_t last_nonce_ = 0;
  absl::btree_set<uint64_t> unacknowledged_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_DISCOVERY_DELTA_SUBSCRIPTIONS_H_
