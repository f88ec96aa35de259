#include "proxy/tcp_labels.h"

#include <iterator>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/types/optional.h"
#include "common/telemetry/labelled_counters.h"
#include "proxy/end_reason.h"
#include "proxy/reason_set.h"
#include "proxy/routing_table.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

constexpr absl::string_view kUnknown = LabelledCounters::kFolded;

absl::string_view OrUnknown(absl::string_view value) { return value.empty() ? kUnknown : value; }

// One end: `identity` is proven, and none for plaintext.
void FillEnd(const MeshSnapshot& mesh, const IpAddress& address, const SpiffeId* identity,
             absl::string_view* workload_name, absl::string_view* ns,
             absl::string_view* principal) {
  *workload_name = *ns = *principal = kUnknown;
  if (identity != nullptr) {
    *principal = identity->text();
    *ns = OrUnknown(identity->k8s_namespace());
  }
  const Workload* workload = mesh.routes->FindWorkload(address);
  if (workload == nullptr) return;
  // An address that proves to be somebody else's is not that workload.
  if (identity != nullptr &&
      (!workload->identity.has_value() || *workload->identity != *identity)) {
    return;
  }
  *workload_name = OrUnknown(workload->workload_name);
  *ns = OrUnknown(workload->ns);
}

// The one service that has this port of this workload; empty: none or several.
absl::string_view OnlyServiceOf(const MeshSnapshot& mesh, const SocketAddress& address) {
  const Workload* workload = mesh.routes->FindWorkload(address.ip());
  if (workload == nullptr) return {};
  absl::string_view only;
  for (const auto& [service, ports] : workload->services) {
    const bool serves = absl::c_any_of(
        ports, [&address](const auto& port) { return port.second == address.port(); });
    if (!serves) continue;
    if (!only.empty()) return {};
    only = service;
  }
  return only;
}

bool IsOneOf(absl::string_view reason, std::initializer_list<absl::string_view> reasons) {
  return absl::c_linear_search(reasons, reason);
}

}  // namespace

absl::string_view NameOf(TcpLabel label) {
  switch (label) {
    case kReporter:
      return "reporter";
    case kSourceWorkload:
      return "source_workload";
    case kSourceWorkloadNamespace:
      return "source_workload_namespace";
    case kSourcePrincipal:
      return "source_principal";
    case kDestinationWorkload:
      return "destination_workload";
    case kDestinationWorkloadNamespace:
      return "destination_workload_namespace";
    case kDestinationPrincipal:
      return "destination_principal";
    case kDestinationService:
      return "destination_service";
    case kDestinationServiceName:
      return "destination_service_name";
    case kDestinationServiceNamespace:
      return "destination_service_namespace";
    case kRequestProtocol:
      return "request_protocol";
    case kResponseFlags:
      return "response_flags";
    case kConnectionSecurityPolicy:
      return "connection_security_policy";
    case kTcpLabels:
      break;
  }
  return kUnknown;
}

TcpLabelValues LabelsOf(const MeshSnapshot& mesh, const TcpParties& parties) {
  const bool inbound = parties.direction == AccessRecord::Direction::kInbound;
  const SpiffeId* peer = parties.peer == nullptr ? nullptr : &parties.peer->peer.id;
  // Of plaintext the own side is known all the same: it is this proxy's.
  const SpiffeId* own = nullptr;
  if (parties.peer != nullptr && parties.peer->own_id.has_value()) {
    own = &*parties.peer->own_id;
  } else if (mesh.identity != nullptr) {
    own = &mesh.identity->identity->id();
  }
  TcpLabelValues values;
  values[kReporter] = inbound ? "destination" : "source";
  FillEnd(mesh, parties.source.ip(), inbound ? peer : own, &values[kSourceWorkload],
          &values[kSourceWorkloadNamespace], &values[kSourcePrincipal]);
  FillEnd(mesh, parties.destination.ip(), inbound ? own : peer, &values[kDestinationWorkload],
          &values[kDestinationWorkloadNamespace], &values[kDestinationPrincipal]);
  if (inbound && peer == nullptr) {
    // The source's address is all there is of it, and anybody on the network can have one.
    values[kSourceWorkload] = values[kSourceWorkloadNamespace] = kUnknown;
  }
  if (peer == nullptr) values[kSourcePrincipal] = values[kDestinationPrincipal] = kUnknown;

  const absl::string_view service =
      inbound ? OnlyServiceOf(mesh, parties.destination) : parties.service;
  const size_t slash = service.find('/');
  if (slash == absl::string_view::npos) {
    values[kDestinationService] = values[kDestinationServiceName] =
        values[kDestinationServiceNamespace] = kUnknown;
  } else {
    const absl::string_view hostname = service.substr(slash + 1);
    values[kDestinationService] = OrUnknown(hostname);
    values[kDestinationServiceName] = OrUnknown(hostname.substr(0, hostname.find('.')));
    values[kDestinationServiceNamespace] = OrUnknown(service.substr(0, slash));
  }
  values[kRequestProtocol] = "tcp";
  values[kResponseFlags] = "-";
  values[kConnectionSecurityPolicy] = peer == nullptr ? "none" : "mutual_tls";
  return values;
}

absl::string_view ResponseFlagsOf(AccessRecord::Result result, absl::string_view reason) {
  const absl::string_view word = AllReasons()[ReasonIndex(reason)];
  if (word == access_reason::kClosed) return "-";
  if (word == access_reason::kResetByDownstream) return "DC";
  if (word == access_reason::kResetByUpstream) return "UC";
  if (IsOneOf(word, {access_reason::kOverloaded, access_reason::kBuffersFull,
                     access_reason::kTooManyConnections, access_reason::kTooManySockets,
                     access_reason::kMemoryPressure, tunnel_reason::kTunnelLimit,
                     tunnel_reason::kStreamLimit, tunnel_reason::kHandshakeLimit,
                     tunnel_reason::kHandshakeSourceLimit, tunnel_reason::kHandshakeEvicted})) {
    return "UO";
  }
  if (IsOneOf(word, {access_reason::kConnectFailed, access_reason::kConnectTimeout,
                     access_reason::kTlsFailed, access_reason::kPeerIdentityMismatch,
                     access_reason::kTunnelRefused, access_reason::kRefusedByPeer,
                     access_reason::kNoIdentity}) ||
      (result == AccessRecord::Result::kFailed &&
       IsOneOf(word, {end_reason::kCertificateRevoked, end_reason::kRevocationUnknown}))) {
    return "UF";
  }
  if (IsOneOf(word, {route_reason::kNoEndpoint, route_reason::kNoHealthyEndpoint})) return "UH";
  if (IsOneOf(word, {access_reason::kUnknownAddress, access_reason::kResolveTimeout,
                     access_reason::kResolveUnavailable, access_reason::kNoOriginalDestination,
                     access_reason::kBadConnectRequest, access_reason::kLoop,
                     route_reason::kUnknownServicePort})) {
    return "NR";
  }
  // Ended by this proxy for what the peer did to it, whatever the policies say of it.
  if (IsOneOf(word, {end_reason::kTlsProtocol, end_reason::kTlsFlood, end_reason::kTlsTruncated})) {
    return "LR";
  }
  switch (result) {
    case AccessRecord::Result::kAllowed:
      return "-";
    case AccessRecord::Result::kDenied:
      return "UAEX";
    case AccessRecord::Result::kFailed:
      break;
  }
  // Ended by this proxy.
  return "LR";
}

}  // namespace byrnie
