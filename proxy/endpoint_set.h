#ifndef BYRNIE_PROXY_ENDPOINT_SET_H_
#define BYRNIE_PROXY_ENDPOINT_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/random/bit_gen_ref.h"
#include "common/net/socket_address.h"
#include "proxy/workload.h"

namespace byrnie {

// One workload as it serves one port of a service.
struct Endpoint {
  std::shared_ptr<const Workload> workload;
  uint16_t target_port = 0;
  // Which of the workload's addresses to dial, by family; negative: none of that family is its own.
  // At least one is not.
  int16_t v4 = -1;
  int16_t v6 = -1;

  // Where to dial, in the family wanted if there is one.
  SocketAddress Address(bool prefer_v4) const {
    const int16_t first = prefer_v4 ? v4 : v6;
    const int16_t second = prefer_v4 ? v6 : v4;
    return SocketAddress(workload->addresses[static_cast<size_t>(first >= 0 ? first : second)],
                         target_port);
  }
};

// The endpoints of one port of a service, in tiers: the first tier is preferred, each next one is
// for when the one before has nobody to offer. All that a draw needs is computed at the making, so
// that a draw does not go through the endpoints. Immutable.
class EndpointSet {
 public:
  // Says whether an endpoint may be drawn; the same during one draw.
  using Usable = absl::FunctionRef<bool(const Endpoint& endpoint)>;

  // `own` is where this proxy is, null when that is not known: then it is in no scope of its own.
  EndpointSet(std::vector<Endpoint> endpoints, const LoadBalancing& balancing,
              const Placement* own);

  // Draws by capacity from the first tier with an endpoint that is `usable`; null when none is.
  const Endpoint* Draw(absl::BitGenRef random, Usable usable) const;

  // Endpoints that can be drawn.
  size_t size() const { return endpoints_.size(); }
  // Those left out for not being healthy.
  size_t unhealthy() const { return unhealthy_; }
  // Those left out for not being in a strict scope.
  size_t out_of_scope() const { return out_of_scope_; }

 private:
  // Never without endpoints.
  struct Tier {
    size_t begin;
    size_t end;
  };

  const Endpoint* DrawFrom(const Tier& tier, absl::BitGenRef random, Usable usable) const;

  std::vector<Endpoint> endpoints_;  // By tier.
  // Capacities of each endpoint and all before it.
  std::vector<uint64_t> weight_end_;
  std::vector<Tier> tiers_;
  size_t unhealthy_ = 0;
  size_t out_of_scope_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ENDPOINT_SET_H_
