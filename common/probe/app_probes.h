#ifndef BYRNIE_COMMON_PROBE_APP_PROBES_H_
#define BYRNIE_COMMON_PROBE_APP_PROBES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/probe/probe_url.h"

namespace byrnie {

// What the paths of probes that the proxy makes begin with.
inline constexpr absl::string_view kAppHealthPrefix = "/app-health/";
// Of the text that ParseAppProbes reads.
inline constexpr size_t kMaxAppProbesText = 64 * 1024;
inline constexpr int kMaxProbeSeconds = 86400;

// A health probe of a container of the pod, which the proxy makes in the kubelet's stead. A value.
struct AppProbe {
  std::string container;
  std::string kind;  // "startup", "readiness" or "liveness".
  enum class Action { kConnect, kHttp, kGrpc };
  Action action = Action::kConnect;
  // Where; but for a probe by HTTP the port says it all.
  ProbeUrl url;
  // For a probe by gRPC: the service that is asked for; empty for the server as a whole.
  std::string service;
  // For a probe by HTTP: as the pod has them, in order.
  std::vector<std::pair<std::string, std::string>> headers;
  absl::Duration timeout = absl::Seconds(1);

  // "app/readiness".
  std::string Name() const;
  // Where the kubelet asks the proxy: "/app-health/app/readiness".
  std::string Path() const;
};

// Reads the probes that an injector has written, by container and kind, with the members that
// Kubernetes gives a probe:
//
//   {"app": {"readiness": {"httpGet": {"port": 8080, "path": "/healthz", "scheme": "HTTP",
//                                      "httpHeaders": [{"name": "X-A", "value": "b"}]},
//                          "timeoutSeconds": 1},
//            "liveness": {"tcpSocket": {"port": 8080}},
//            "startup": {"grpc": {"port": 9090, "service": "shop.Cart"}}}}
//
// All but the ports may be left out. InvalidArgument says where and what is wrong: it is strict,
// because whoever writes it is a program. An empty text is no probes.
absl::StatusOr<std::vector<AppProbe>> ParseAppProbes(absl::string_view text);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_PROBE_APP_PROBES_H_
