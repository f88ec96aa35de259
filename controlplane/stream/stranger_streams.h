#ifndef BYRNIE_CONTROLPLANE_STREAM_STRANGER_STREAMS_H_
#define BYRNIE_CONTROLPLANE_STREAM_STRANGER_STREAMS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/places.h"
#include "common/telemetry/line_budget.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// How many streams may be open that need no proof of who opens them, of one address and in all: so
// no stranger holds much of this process, nor much of what there is for strangers. An IPv6 address
// counts by its first 64 bits, since the rest is the caller's to choose. Thread-safe; outlives the
// server. The pointers outlive it.
class StrangerStreams {
 public:
  static constexpr size_t kOfOneAddress = 32;
  static constexpr size_t kOfAll = 512;
  // When whoever was refused should try again.
  static constexpr absl::Duration kRetryAfter = absl::Seconds(10);

  StrangerStreams(const Clock* clock, Logger* logger, MetricRegistry* metrics);

  // The place of a stream of `service` that somebody at `grpc_peer`, such as "ipv4:10.0.0.1:4711",
  // opens; held as long as the stream. ResourceExhausted, which is counted and logged within a
  // LineBudget: there are too many.
  absl::StatusOr<std::unique_ptr<Places::Place>> Admit(absl::string_view service,
                                                       const std::string& grpc_peer);

 private:
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  Counter* const refused_address_;
  Counter* const refused_all_;
  LineBudget refusals_said_;
  Places places_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STREAM_STRANGER_STREAMS_H_
