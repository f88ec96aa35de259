#ifndef BYRNIE_CONTROLPLANE_AGENTS_AGENT_TABLE_H_
#define BYRNIE_CONTROLPLANE_AGENTS_AGENT_TABLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"

namespace byrnie {

// Who is connected, what they were issued last, and which trust bundles they have in force.
// Thread-safe.
class AgentTable {
 public:
  // An agent is an identity at an address: all its streams share one connection.
  struct Agent {
    SpiffeId id;
    std::string address;
    absl::Time connected_since;
    absl::optional<absl::Time> certificate_not_after;
    std::string certificate_serial;
    uint64_t acknowledged_bundle_version = 0;
    // How the identity of the newest certificate was proven: "svid", "join_token", "jwt:ISSUER".
    std::string certificate_proof = "";
  };

  // Counts a stream of an agent until it is closed; every call of OnStreamOpened is followed by one
  // of OnStreamClosed.
  void OnStreamOpened(const SpiffeId& id, const std::string& address, absl::Time now);
  void OnStreamClosed(const SpiffeId& id, const std::string& address);
  // Ignored for agents without a stream.
  void OnBundleAcknowledged(const SpiffeId& id, const std::string& address, uint64_t version);
  // Remembers the newest certificate of an identity until it has expired.
  void OnIssued(const SpiffeId& id, const std::string& serial, absl::Time not_after, absl::Time now,
                const std::string& proof = "");

  // Agents with an open stream, ordered by identity, then address.
  std::vector<Agent> List() const;
  size_t size() const;

 private:
  struct Connection {
    int streams = 0;
    absl::Time since;
    uint64_t acknowledged = 0;
  };
  struct Issued {
    std::string serial;
    absl::Time not_after;
    std::string proof;
  };

  mutable absl::Mutex mu_;
  std::map<std::pair<SpiffeId, std::string>, Connection> connections_ ABSL_GUARDED_BY(mu_);
  std::map<SpiffeId, Issued> issued_ ABSL_GUARDED_BY(mu_);
  absl::Time next_sweep_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AGENTS_AGENT_TABLE_H_
