#ifndef BYRNIE_CONTROLPLANE_AGENTS_AGENT_TABLE_H_
#define BYRNIE_CONTROLPLANE_AGENTS_AGENT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "controlplane/agents/certificate_holders.h"
#include "controlplane/events/event_log.h"

namespace byrnie {

// Who is connected or was, with which certificates, what they were issued last, and which trust
// bundles they have in force. Thread-safe.
class AgentTable {
 public:
  // How long one that went away is remembered, unless its certificate ends before, and how many are
  // at most.
  static constexpr absl::Duration kRemembered = absl::Hours(24);
  static constexpr size_t kMaxRemembered = 10000;

  // What a stream says of its agent when it is opened.
  struct Introduction {
    // Of the client certificate.
    std::string serial;
    absl::Time not_after;
    // What the agent calls itself; a claim.
    std::string release;
    // The id of the root that the client certificate is of.
    std::string root = "";
  };
  // The certificate an agent has shown on its connection.
  struct ShownCertificate {
    std::string serial;
    // The id of its root.
    std::string root;
    absl::Time not_after;
  };

  // An agent is an identity at an address: all its streams share one connection.
  struct Agent {
    SpiffeId id;
    std::string address;
    // InfinitePast: it never opened a stream, and what is known is that it was issued a
    // certificate, when, and where it asked from.
    absl::Time connected_since;
    // Of the newest certificate known: the one it connected with, or one issued since.
    absl::optional<absl::Time> certificate_not_after;
    std::string certificate_serial;
    uint64_t acknowledged_bundle_version = 0;
    bool connected = true;
    absl::Time last_seen;
    std::string release;
    // Its clock less ours, as it was last told.
    absl::optional<absl::Duration> clock_offset;
    // How the identity of the newest certificate was proven: "svid", "join_token", "jwt:ISSUER".
    // Empty where it was not issued by this process.
    std::string certificate_proof = "";
    ShownCertificate shown = {};
  };

  // Tells `events`, which outlives it; null: nobody.
  explicit AgentTable(EventLog* events = nullptr) : events_(events) {}
  AgentTable(const AgentTable&) = delete;
  AgentTable& operator=(const AgentTable&) = delete;

  // Counts a stream of an agent until it is closed; every call of OnStreamOpened is followed by one
  // of OnStreamClosed.
  void OnStreamOpened(const SpiffeId& id, const std::string& address, Introduction introduction,
                      absl::Time now);
  void OnStreamClosed(const SpiffeId& id, const std::string& address, absl::Time now);
  // The agent has said something, and what time it is where it is. Ignored for agents without a
  // stream, like the next.
  void OnHeard(const SpiffeId& id, const std::string& address,
               absl::optional<absl::Duration> clock_offset, absl::Time now);
  void OnBundleAcknowledged(const SpiffeId& id, const std::string& address, uint64_t version);
  // Remembers the newest certificate of an identity until it has expired. `address`: from where it
  // was asked for.
  void OnIssued(const SpiffeId& id, const std::string& serial, absl::Time not_after, absl::Time now,
                const std::string& proof = "", const std::string& address = "");
  // Whoever asked for a certificate from `address` was refused one.
  void OnRefused(const std::string& address, absl::string_view why) const;

  // Agents with an open stream, ordered by identity, then address.
  std::vector<Agent> List() const;
  // Those that are remembered, too; one that has come back is there once. And of identities none of
  // whose agents ever opened a stream, as those that know Istio's protocol alone, the one that was
  // issued a certificate last.
  std::vector<Agent> ListAll() const;
  // How many have an open stream.
  size_t size() const;
  // Every certificate that may be in somebody's hands.
  CertificateHolders* holders() { return &holders_; }
  const CertificateHolders& holders() const { return holders_; }

 private:
  using Key = std::pair<SpiffeId, std::string>;
  struct Connection {
    int streams = 0;
    ShownCertificate shown;
    absl::Time since;
    absl::Time last_seen;
    uint64_t acknowledged = 0;
    std::string release;
    absl::optional<absl::Duration> clock_offset;
  };
  struct Issued {
    std::string serial;
    absl::Time not_after;
    std::string proof;
    // InfinitePast: not by this process.
    absl::Time at = absl::InfinitePast();
    std::string address = "";
  };
  std::vector<Agent> ListWhere(bool connected_only) const;
  void Learn(const SpiffeId& id, std::string serial, absl::Time not_after, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetOthersAt(const Key& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Sweep(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Tell(EventKind kind, const SpiffeId& id, absl::string_view message) const;

  EventLog* const events_;  // Not owned.
  CertificateHolders holders_;
  mutable absl::Mutex mu_;
  std::map<Key, Connection> connections_ ABSL_GUARDED_BY(mu_);
  size_t connected_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<SpiffeId, Issued> issued_ ABSL_GUARDED_BY(mu_);
  absl::Time next_sweep_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_AGENTS_AGENT_TABLE_H_
