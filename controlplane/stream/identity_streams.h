#ifndef BYRNIE_CONTROLPLANE_STREAM_IDENTITY_STREAMS_H_
#define BYRNIE_CONTROLPLANE_STREAM_IDENTITY_STREAMS_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// How many streams of a service may be open that agents open with their certificates, of one
// identity and in all: so one stolen certificate, or one workload gone mad, does not take the
// memory of all. By identity, not by certificate, whose holder can have it renewed, nor by address:
// a whole fleet may come by that of a load balancer. Where there are many of all, identities that
// have few are not refused. Thread-safe; outlives its places. The pointers outlive it.
class IdentityStreams {
 public:
  // As many as discovery takes: pods of one service account, each with one.
  static constexpr size_t kOfOneIdentity = 4096;
  // Of all, beyond which one identity may still have so many.
  static constexpr size_t kOfAll = 32768, kAlways = 256;
  // When whoever was refused should try again.
  static constexpr absl::Duration kRetryAfter = absl::Seconds(10);

  // Given back when destroyed.
  class Place {
   public:
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { streams_->GiveBack(identity_); }

   private:
    friend class IdentityStreams;
    Place(IdentityStreams* streams, std::string identity)
        : streams_(streams), identity_(std::move(identity)) {}

    IdentityStreams* const streams_;  // Not owned.
    const std::string identity_;
  };

  explicit IdentityStreams(MetricRegistry* metrics);

  // The place of one more stream of `identity`. ResourceExhausted, which is counted: there are too
  // many.
  absl::StatusOr<std::unique_ptr<Place>> Admit(const std::string& identity);

 private:
  void GiveBack(const std::string& identity);

  Counter* const refused_identity_;
  Counter* const refused_all_;
  absl::Mutex mu_;
  size_t open_ ABSL_GUARDED_BY(mu_) = 0;
  // Of those that have one.
  absl::flat_hash_map<std::string, size_t> of_identity_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STREAM_IDENTITY_STREAMS_H_
