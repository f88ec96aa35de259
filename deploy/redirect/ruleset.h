#ifndef BYRNIE_DEPLOY_REDIRECT_RULESET_H_
#define BYRNIE_DEPLOY_REDIRECT_RULESET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// What of a pod's TCP traffic goes through its proxy. IPv4 and IPv6 alike.
struct RedirectOptions {
  // Ports of the proxy: what the pod's applications open goes to the first, what others open
  // towards the pod to the second.
  uint16_t outbound_port = 15001;
  uint16_t inbound_port = 15006;
  // The proxy and the agent run as this user; what it sends is never redirected. An application
  // with the same user would bypass the mesh.
  uint32_t proxy_uid = 1337;
  // Ports of the pod reachable from outside as they are, beyond the proxy's own (kProxyPorts).
  std::vector<uint16_t> exclude_inbound_ports;
  // Destinations applications reach without the proxy: "10.0.0.0/8", "fd00::/8" or a single
  // address.
  std::vector<std::string> exclude_outbound_cidrs;
};

// The proxy's own ports that others connect to: tunnels, metrics, readiness.
inline constexpr uint16_t kProxyPorts[] = {15008, 15020, 15021};

// The nftables table `inet byrnie` for one set of options. Immutable; pure text, touches nothing.
//
// Two chains redirect new connections. Two more close the ways around them:
// * A packet that connection tracking calls invalid is not translated; it would leave with its
//   original destination, in plaintext, or arrive at a port nobody listens on and reset a healthy
//   connection.
// * A connection that connection tracking knew before the rules were there is not translated
//   either. The guards let nothing pass, in either direction, that was not redirected, does not go
//   to an open port and is not the proxy's own; both ends of it get a reset.
class Ruleset {
 public:
  // InvalidArgument names the option: port 0, equal ports, a port that is the proxy's own, user 0,
  // a destination that is no network or has bits set beyond its prefix.
  static absl::StatusOr<Ruleset> Create(const RedirectOptions& options);

  // The table as `nft --stateless --numeric-priority list table inet byrnie` shows it once it is
  // installed.
  const std::string& listing() const { return listing_; }

  // Commands that put the table in place whatever was there; run as one buffer they are one
  // transaction.
  std::string ApplyCommands() const;

  // Commands that leave no table; succeed as well when there is none.
  static std::string RemoveCommands();

 private:
  explicit Ruleset(std::string listing) : listing_(std::move(listing)) {}

  std::string listing_;
};

// Compares two listings line by line, blind to white space. Empty: the same. Otherwise lines that
// start with "-" (expected, missing) or "+" (found, not expected), each under the chain it belongs
// to.
std::string CompareListings(absl::string_view expected, absl::string_view found);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_RULESET_H_
