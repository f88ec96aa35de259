#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_LIST_WATCH_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_LIST_WATCH_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/backoff.h"
#include "common/base/json.h"
#include "common/event/event_loop.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/kubernetes/api_client.h"

namespace byrnie {

// Follows one kind of objects at the API server: lists them page by page, watches from the list's
// resource version on, and watches again from the last version heard of when a watch ends. When the
// server does not know that version any more (410 Gone, an ERROR event), and from time to time
// anyway, it lists again. Failures are retried, with back-off and jitter, for ever; whatever the
// sink has been told stays true meanwhile. Lives on one loop.
//
// A server whose etcd was restored from an older copy takes a watch from a version that it has not
// come to, and tells nothing until it has. So before each further watch it is asked how far it is,
// by a list of one object, and where it is behind, all is listed again. So it is where the server
// was away, because meanwhile it may have got past that version by another way, and where versions
// cannot be compared.
//
// States: listing → watching → checking → (watching | listing), and waiting before each after a
// failure.
class ListWatch {
 public:
  struct Options {
    // For logs and metrics, and of a closed set: "pods".
    std::string name;
    // "/api/v1/pods"; the first that the server has: another is tried on 404.
    std::vector<std::string> paths;
    // Only the objects' metadata (PartialObjectMetadata).
    bool metadata_only = false;
    // Further parameters, encoded; empty: none.
    std::string parameters;
    int page_size = 500;
    // How long a watch may take before it is made anew: between one and two of these.
    absl::Duration watch_for = absl::Minutes(5);
    // How often all is listed anew although no watch missed anything: between one and two of these.
    absl::Duration list_every = absl::Minutes(30);
    // How often all is listed at most because the server was away.
    absl::Duration list_after_outage = absl::Minutes(5);
    // Told when the server turns out to be behind, in the turn in which that is noticed, and not to
    // destroy anything: what was heard of other resources, which may not show it, is void as well.
    // Empty: nobody.
    std::function<void()> on_set_back;
    Backoff::Options backoff{absl::Milliseconds(500), absl::Seconds(30), 2.0, 0.5,
                             absl::Milliseconds(50)};
  };

  // Who is told. Objects are as the server has them.
  class Sink {
   public:
    virtual ~Sink() = default;
    // A list begins: those of an earlier list that did not end are void.
    virtual void OnListBegin() = 0;
    virtual void OnListed(const JsonValue& object) = 0;
    // What was listed is all there is.
    virtual void OnListEnd() = 0;
    // There is a new one, or another version of one.
    virtual void OnPut(const JsonValue& object) = 0;
    virtual void OnDelete(const JsonValue& object) = 0;
    // No more events have come for now.
    virtual void OnEventsEnd() = 0;
  };

  // The pointers, and what `random` borrows, outlive it. It begins in a later turn.
  ListWatch(Options options, ApiClient* client, EventLoop* loop, absl::BitGenRef random, Sink* sink,
            Logger* logger, MetricRegistry* metrics);
  ListWatch(const ListWatch&) = delete;
  ListWatch& operator=(const ListWatch&) = delete;

  // Lists all again in a moment, whatever it is doing, and compares with no version of before.
  void ListAgain();

  // When the server was last heard of: a page, an event, a bookmark; Now() of the loop.
  absl::Duration last_heard() const { return last_heard_; }

 private:
  enum class Next { kList, kCheck, kWatch };

  void Act();
  void List();
  void OnPage(absl::StatusOr<ApiResponse> response);
  absl::Status ReadPage(const std::string& body);
  void Check();
  void OnCheck(absl::StatusOr<ApiResponse> response);
  void Watch();
  void OnBytes(absl::string_view bytes);
  // False when the watch is over.
  bool OnLine(absl::string_view line);
  void OnErrorEvent(const JsonObject& object);
  void OnWatchEnd(absl::StatusOr<ApiResponse> response);
  void TryNextPath(const ApiResponse& not_found);
  // Goes on with `next` after the back-off, or after what the server asks for.
  void Retry(Next next, const absl::Status& why,
             absl::optional<absl::Duration> retry_after = absl::nullopt);
  void ListAnew();
  // Whether the server, which is at `now`, was further before; that is told, and the version that
  // was known forgotten.
  bool IsSetBack(absl::string_view now);
  void Succeeded();
  absl::Duration Spread(absl::Duration least);
  std::string Accept() const;
  std::string Target(const std::vector<std::string>& parameters) const;

  const Options options_;
  ApiClient* const client_;  // Not owned.
  EventLoop* const loop_;    // Not owned.
  absl::BitGenRef random_;   // Not owned.
  Sink* const sink_;         // Not owned.
  Logger* const logger_;     // Not owned.
  Counter* const lists_;
  Counter* const checks_;
  Counter* const watches_;
  Counter* const events_;
  Counter* const failures_;
  Counter* const set_back_;
  Backoff backoff_;

  Next next_ = Next::kList;
  size_t path_ = 0;
  // The last one heard of; empty: none, or of a state that the server has lost.
  std::string resource_version_;
  // When the last whole list was complete.
  absl::Duration listed_;
  // Since then something may have been missed: no server answered, or versions were not comparable.
  bool uncertain_ = false;
  // Of the list under way.
  std::string continue_;
  bool listing_ = false;
  // The server forgot the list under way: the next one is asked for as a whole.
  bool whole_ = false;
  bool list_due_ = false;
  // Of the watch under way.
  std::string line_;
  absl::Duration watch_begun_;
  bool watch_heard_ = false;
  // The same failure is logged once.
  std::string logged_;
  absl::Duration last_heard_;
  std::unique_ptr<EventLoop::Timer> act_;
  std::unique_ptr<EventLoop::Timer> list_again_;
  // Last: its handlers use the rest.
  std::unique_ptr<ApiClient::Call> call_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_LIST_WATCH_H_
