#ifndef BYRNIE_PROXY_INBOUND_MODES_H_
#define BYRNIE_PROXY_INBOUND_MODES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/net/socket_address.h"
#include "common/policy/policy.h"

namespace byrnie {

// What the operator says about inbound connections without an identity, and about ports of the
// application that want to be told of it. A value.
struct InboundModes {
  // Plaintext is refused, but where one of the following says otherwise.
  bool strict = true;
  // Strict or not, by port of the application.
  absl::flat_hash_map<uint16_t, bool> strict_at;
  // Ports where health probes of the node arrive in plaintext.
  absl::flat_hash_set<uint16_t> probe_ports;
  // Where such probes come from; empty: the pod's default gateways.
  std::vector<CidrBlock> probe_sources;
  // From the gateways, too.
  bool probe_gateways = false;
  // Ports whose application speaks the PROXY protocol, beside what discovery says.
  absl::flat_hash_set<uint16_t> proxy_protocol_ports;

  bool StrictAt(uint16_t port) const;
  // Sets probe_sources and probe_gateways: "gateways,192.168.1.7". InvalidArgument names what is
  // wrong.
  absl::Status SetProbeSources(absl::string_view text);
  bool UsesGateways() const { return probe_sources.empty() || probe_gateways; }
  // Whether a connection is a declared health probe, as far as addresses can tell.
  bool IsProbe(const IpAddress& source, uint16_t port,
               const absl::flat_hash_set<IpAddress>& gateways) const;
};

// "8080=permissive,9090=strict"; InvalidArgument names what is wrong.
absl::StatusOr<absl::flat_hash_map<uint16_t, bool>> ParsePortModes(absl::string_view text);
// "8080,9090".
absl::StatusOr<absl::flat_hash_set<uint16_t>> ParsePortSet(absl::string_view text);
// "10.0.0.0/8,fd00::1"; an address alone is a block of one.
absl::StatusOr<std::vector<CidrBlock>> ParseCidrBlocks(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_INBOUND_MODES_H_
