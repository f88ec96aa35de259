#ifndef BYRNIE_PROXY_OUTLIER_DETECTOR_H_
#define BYRNIE_PROXY_OUTLIER_DETECTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// Which endpoints of services could not be connected to a moment ago, as one worker has seen it. A
// failure ejects the endpoint for a while; then one connection tries it, and what becomes of that
// one restores the endpoint or ejects it for twice as long. Being ejected is advice: whoever finds
// everybody ejected uses them all. Lives on the worker's loop.
class OutlierDetector {
 public:
  struct Options {
    // Of the first ejection, and the longest.
    absl::Duration base = absl::Seconds(1);
    absl::Duration max = absl::Seconds(30);
    // An ejection is shorter or longer by up to this part of it, so that workers and pods do not
    // all try the endpoint again at the same moment.
    double jitter = 0.2;
    // Others wait so long for what becomes of the one that tries: longer than a silent endpoint
    // holds a connection up (ProxyConfig::endpoint_patience).
    absl::Duration trial = absl::Seconds(5);
    // Endpoints remembered; of more, nothing is remembered.
    size_t max_endpoints = 4096;
  };
  // May be null each.
  struct Metrics {
    Counter* ejections = nullptr;
    Gauge* ejected = nullptr;
  };
  // For the admin page.
  struct EndpointView {
    std::string endpoint;
    uint32_t failures = 0;
    // Zero: it is on trial.
    absl::Duration ejected_for;
  };

  // `random` outlives the detector.
  OutlierDetector(EventLoop* loop, const Options& options, const Metrics& metrics,
                  absl::BitGenRef random);
  OutlierDetector(const OutlierDetector&) = delete;
  OutlierDetector& operator=(const OutlierDetector&) = delete;
  ~OutlierDetector();

  // Also while another connection tries an endpoint whose ejection is over.
  bool Ejected(const SocketAddress& endpoint) const;
  // A connection to it begins. Its outcome is to be told, but need not: it may be given up.
  void OnAttempt(const SocketAddress& endpoint);
  // The endpoint could be connected to.
  void OnSuccess(const SocketAddress& endpoint);
  // It could not. While it is ejected nothing changes: those who fail together are one failure.
  void OnFailure(const SocketAddress& endpoint);

  // Those remembered, in the order of their names.
  std::vector<EndpointView> View() const;

 private:
  struct Record {
    // In a row.
    uint32_t failures = 0;
    bool ejected = false;
    // Of the ejection; then, of the memory of it.
    absl::Duration until;
    // Until then somebody tries it.
    absl::Duration tried_until;
  };

  bool IsOut(const Record& record) const;
  absl::Duration DurationOf(uint32_t failures);
  void Restore(Record* record);
  void OnTimer();
  void ArmTimer();

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  const Metrics metrics_;
  absl::BitGenRef random_;
  absl::flat_hash_map<SocketAddress, Record> records_;
  // At the first `until`.
  std::unique_ptr<EventLoop::Timer> timer_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_OUTLIER_DETECTOR_H_
