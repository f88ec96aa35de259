#ifndef BYRNIE_PROXY_TCP_LABELS_H_
#define BYRNIE_PROXY_TCP_LABELS_H_

#include <array>
#include <cstddef>

#include "absl/strings/string_view.h"
#include "common/net/socket_address.h"
#include "proxy/access_record.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/peer_info.h"

namespace byrnie {

// The labels of Istio's standard TCP metrics, in this order.
enum TcpLabel : size_t {
  kReporter,
  kSourceWorkload,
  kSourceWorkloadNamespace,
  kSourcePrincipal,
  kDestinationWorkload,
  kDestinationWorkloadNamespace,
  kDestinationPrincipal,
  kDestinationService,
  kDestinationServiceName,
  kDestinationServiceNamespace,
  kRequestProtocol,
  kResponseFlags,
  kConnectionSecurityPolicy,
  kTcpLabels,
};

// "reporter", "source_workload", …
absl::string_view NameOf(TcpLabel label);

// Values of the labels; they point into what they were made of.
using TcpLabelValues = std::array<absl::string_view, kTcpLabels>;

// What is known of a connection.
struct TcpParties {
  AccessRecord::Direction direction = AccessRecord::Direction::kOutbound;
  SocketAddress source;
  SocketAddress destination;
  // "namespace/hostname"; empty: no service.
  absl::string_view service;
  // Null for plaintext.
  const PeerInfo* peer = nullptr;
};

// The values for a connection, "unknown" where nobody vouches for one: an identity stands where a
// handshake has proven it, and a workload's name where the routing table has one for the address
// and, where there is an identity, gives it that same identity. Nothing a peer merely says is used.
// Pure.
TcpLabelValues LabelsOf(const MeshSnapshot& mesh, const TcpParties& parties);

// Envoy's word for an end: "-" when it was carried to a clean end.
absl::string_view ResponseFlagsOf(AccessRecord::Result result, absl::string_view reason);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TCP_LABELS_H_
