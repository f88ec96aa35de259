#ifndef BYRNIE_CONTROLPLANE_OPERATOR_EVENT_STREAMS_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_EVENT_STREAMS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "byrnie/operator/v1/operator.pb.h"
#include "common/base/places.h"
#include "common/base/thread_pool.h"
#include "common/grpc/live_stream.h"
#include "controlplane/events/event_log.h"
#include "controlplane/operator/role.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"

namespace byrnie {

// What one WatchEvents stream has seen and wants. One caller at a time.
class EventReader {
 public:
  using Request = byrnie::operator_::v1::WatchEventsRequest;
  using Response = byrnie::operator_::v1::WatchEventsResponse;

  // `control_plane` is whose log it is. InvalidArgument, with the field. The log outlives it.
  static absl::StatusOr<EventReader> Create(const EventLog* log, const Request& request,
                                            std::string control_plane = "");

  // What comes next: an event, or that some were missed; absent when all has been read.
  absl::optional<Response> Next();
  bool follow() const { return follow_; }

 private:
  EventReader(const EventLog* log, std::string control_plane, EventCursor cursor,
              std::set<int> kinds, bool follow)
      : log_(log),
        control_plane_(std::move(control_plane)),
        cursor_(cursor),
        kinds_(std::move(kinds)),
        follow_(follow) {}

  const EventLog* log_;  // Not owned.
  std::string control_plane_;
  EventCursor cursor_;
  std::set<int> kinds_;  // Empty: all.
  bool follow_;
};

// The open WatchEvents streams. Thread-safe; the log outlives it, and it outlives the server.
class EventStreams final : public StreamOwner {
 public:
  using Reactor = grpc::ServerWriteReactor<EventReader::Response>;

  explicit EventStreams(EventLog* log);
  // All streams have been removed by then: the server has shut down.
  ~EventStreams();

  // Who opens a stream, what for, and what is given back when it has ended.
  struct Opening {
    Caller caller;
    EventReader reader;
    std::unique_ptr<Places::Place> place;
  };
  // Finds out whether the caller may have the stream. May block.
  using Admission = absl::AnyInvocable<absl::StatusOr<Opening>()>;

  // Begins a stream once one of the pool's threads has admitted its caller: the library's threads
  // wait for nothing. Refuses it with what that says; with ResourceExhausted and a RetryAfter of a
  // second when too much waits for the pool, which outlives the streams.
  Reactor* Open(grpc::CallbackServerContext* context, ThreadPool* pool, Admission admit);
  void Remove(LiveStream* stream) override;

  // Ends, Unauthenticated, the streams of admitted callers whom `valid`, which gives one answer for
  // each, finds to be none any more. It is asked about all at once, may block, and is not asked
  // where there is no stream.
  void EndInvalid(const std::function<std::vector<bool>(const std::vector<Caller>&)>& valid);
  void EndAll(const absl::Status& status);

 private:
  class Stream;
  void WakeAll();

  EventLog* const log_;  // Not owned.
  // A stream that has ended is not taken for another one at its place in memory.
  std::atomic<uint64_t> next_number_{0};
  absl::Mutex mu_;
  absl::flat_hash_map<LiveStream*, std::unique_ptr<Stream>> streams_ ABSL_GUARDED_BY(mu_);
  // Not OK once EndAll() was called.
  absl::Status ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_EVENT_STREAMS_H_
