#ifndef BYRNIE_PROXY_APP_PROBER_H_
#define BYRNIE_PROXY_APP_PROBER_H_

#include <memory>
#include <vector>

#include "common/event/event_loop.h"
#include "common/http/http_router.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "proxy/probe_dialer.h"
#include "proxy/proxy_config.h"

namespace byrnie {

// The kubelet's health probes of the application by way of the proxy: the pages /app-health/… of
// --app_probes. Whoever asks for one makes the probe happen, and is told a status and why; nothing
// of what the application says. Lives on one loop.
//
// Of each probe one is under way at a time, towards each address of the pod, and no more than five
// begin in a second; who asks meanwhile waits for the same. So the number of pages bounds what
// strangers can have the application asked.
// A probe that nobody waits for any more is given up.
class AppProber {
 public:
  // All pointers outlive this.
  AppProber(EventLoop* loop, const ProxyConfig* config, ProbeDialer* dialer,
            MetricRegistry* metrics, Logger* logger);
  AppProber(const AppProber&) = delete;
  AppProber& operator=(const AppProber&) = delete;
  ~AppProber();

  // The pages. A server that has them, and its connections, die before this.
  std::vector<HttpRouter::Route> Routes();

 private:
  class Target;

  std::vector<std::unique_ptr<Target>> targets_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_APP_PROBER_H_
