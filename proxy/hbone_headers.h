#ifndef BYRNIE_PROXY_HBONE_HEADERS_H_
#define BYRNIE_PROXY_HBONE_HEADERS_H_

#include <cstdint>
#include <string>

#include "absl/random/bit_gen_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/http2/connect_session.h"
#include "common/net/socket_address.h"

namespace byrnie {

// The headers beside the authority of a CONNECT between proxies, made and read. Pure.
//
// What a peer says in them is its own claim: it is for the log, never for a decision. Each reader
// looks at a bounded part, keeps only bytes that names are made of, and leaves out what it does not
// understand.

// Who a workload says it is, in `baggage` (W3C Baggage, with the keys of OpenTelemetry's semantic
// conventions). Empty: not said.
struct WorkloadNames {
  std::string cluster;  // k8s.cluster.name
  std::string ns;       // k8s.namespace.name
  // k8s.KIND.name, KIND one of pod, deployment, job, cronjob; both or neither.
  std::string kind;
  std::string name;
  std::string service;  // service.name
  std::string version;  // service.version

  friend bool operator==(const WorkloadNames& a, const WorkloadNames& b) {
    return a.cluster == b.cluster && a.ns == b.ns && a.kind == b.kind && a.name == b.name &&
           a.service == b.service && a.version == b.version;
  }
};

// Names that are not names (see IsName) are left out; empty when nothing is left.
std::string MakeBaggage(const WorkloadNames& names);
// Never fails: of hostile text nothing is left.
WorkloadNames ParseBaggage(absl::string_view text);

// Where a connection came from before the sender, in `forwarded` (RFC 7239).
struct Forwarded {
  absl::optional<SocketAddress> source;  // for
  std::string host;                      // host: the service asked for. Empty: none.
};

std::string MakeForwarded(const SocketAddress& source, absl::string_view host);
// Of the first element; what is not understood is left out.
Forwarded ParseForwarded(absl::string_view text);

// The place in a trace, in `traceparent` (W3C Trace Context).
struct TraceParent {
  std::string trace_id;   // 32 lower-case hexadecimal digits, not all 0.
  std::string parent_id;  // 16, likewise.
  uint8_t flags = 0;      // 1: sampled.
};

// A new trace that nobody samples.
TraceParent NewTraceParent(absl::BitGenRef random);
std::string MakeTraceParent(const TraceParent& parent);
// None unless all of it is as the standard says.
absl::optional<TraceParent> ParseTraceParent(absl::string_view text);

// What a peer says of a connection that it asks for.
struct ConnectClaims {
  std::string trace_id;                         // Empty: none.
  std::string workload;                         // "NAMESPACE/NAME" or what is said of it.
  absl::optional<SocketAddress> forwarded_for;  // Whose connection it was.
};
// Of headers that occur more than once the first counts.
ConnectClaims ReadClaims(const HeaderList& headers);

// True for 1 to 253 letters, digits, '-', '.', '_', '/' and ':': what clusters, namespaces,
// workloads, services and versions are called. Nothing that has to be quoted anywhere.
bool IsName(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_HBONE_HEADERS_H_
