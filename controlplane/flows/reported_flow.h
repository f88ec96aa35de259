#ifndef BYRNIE_CONTROLPLANE_FLOWS_REPORTED_FLOW_H_
#define BYRNIE_CONTROLPLANE_FLOWS_REPORTED_FLOW_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/identity/spiffe_id.h"
#include "common/net/socket_address.h"

namespace byrnie {

// Connections that are alike, as the proxy of one of their ends has reported them. A value.
struct ReportedFlow {
  // Which end that is. The destination decides; of what never reached it only the source knows.
  enum class Side { kDestination, kSource };
  enum class Path { kHbone, kDirect, kPlaintext, kProbe };
  enum class Verdict { kAllowed, kDenied, kFailed };

  // What makes them alike.
  Side side = Side::kDestination;
  Path path = Path::kHbone;
  Verdict verdict = Verdict::kAllowed;
  // Proven by the other end; none for plaintext.
  absl::optional<SpiffeId> peer;
  SocketAddress destination;
  // "namespace/hostname"; empty: not known.
  std::string service;

  // Of the last one, at the destination. Where there is no peer, all are of its /24 or /64.
  absl::optional<IpAddress> source;
  std::string reason;
  uint64_t opened = 0;  // Refused ones included.
  uint64_t closed = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  // Another one than before: these counts have begun anew. By the reporter's clock.
  absl::Time counted_since;
  // By the control plane's clock, as far as the reporter says what it has itself.
  absl::Time first_seen;
  absl::Time last_seen;

  // The same text for what is alike, and for nothing else.
  std::string Key() const;
  // "10.77.0.0/24" where there is no peer; else empty.
  std::string SourceNetwork() const;
};

// Who reports.
struct FlowReporterId {
  // As its certificate proves.
  SpiffeId id;
  // Where it connects from: its pods may be many.
  std::string host;

  friend bool operator<(const FlowReporterId& a, const FlowReporterId& b) {
    return a.id == b.id ? a.host < b.host : a.id < b.id;
  }
};

// "hbone", "direct", "plaintext", "probe".
absl::string_view NameOf(ReportedFlow::Path path);
// "allowed", "denied", "failed".
absl::string_view NameOf(ReportedFlow::Verdict verdict);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_FLOWS_REPORTED_FLOW_H_
