#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_STREAM_TABLE_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_STREAM_TABLE_H_

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/grpc/live_stream.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// Owns the open streams of the workload's APIs, at most `limit`. Thread-safe.
class StreamTable final : public StreamOwner {
 public:
  StreamTable(size_t limit, Gauge* count) : limit_(limit), count_(count) {}
  // All streams have been removed by then: the server has shut down.
  ~StreamTable();

  // Takes a stream that was just opened and starts it; on failure it is the caller's still.
  // ResourceExhausted: there are as many as may be. Unavailable after EndAll().
  template <typename Stream>
  absl::Status Open(std::unique_ptr<Stream>* stream) {
    Stream* const added = stream->get();
    {
      absl::MutexLock lock(&mu_);
      absl::Status room = HasRoom();
      if (!room.ok()) return room;
      streams_.emplace(added, std::move(*stream));
      count_->Add(1);
    }
    // It cannot be gone: nothing has ended that has not begun.
    added->Start();
    return absl::OkStatus();
  }

  void Remove(LiveStream* stream) override;
  void WakeAll();
  void EndAll(const absl::Status& status);

 private:
  absl::Status HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t limit_;
  Gauge* const count_;  // Not owned.
  absl::Mutex mu_;
  absl::flat_hash_map<LiveStream*, std::unique_ptr<LiveStream>> streams_ ABSL_GUARDED_BY(mu_);
  // Not OK once EndAll() was called.
  absl::Status ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_STREAM_TABLE_H_
