#include "controlplane/operator/event_streams.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "common/grpc/peer_address.h"
#include "common/grpc/pooled_call.h"
#include "common/grpc/push_stream.h"
#include "common/grpc/status_conversion.h"
#include "controlplane/operator/operator_views.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

absl::StatusOr<EventReader> EventReader::Create(const EventLog* log, const Request& request,
                                                std::string control_plane) {
  EventCursor cursor;
  if (!request.cursor().empty()) {
    const absl::StatusOr<EventCursor> parsed = EventCursor::Parse(request.cursor());
    if (!parsed.ok()) return InvalidField("cursor", parsed.status().message());
    cursor = *parsed;
  }
  std::set<int> kinds;
  for (const int kind : request.kinds()) {
    if (!v1::Event::Kind_IsValid(kind) || kind == v1::Event::KIND_UNSPECIFIED) {
      return InvalidField("kinds", absl::StrCat(kind, " is no kind of event"));
    }
    kinds.insert(kind);
  }
  return EventReader(log, std::move(control_plane), cursor, std::move(kinds), request.follow());
}

absl::optional<EventReader::Response> EventReader::Next() {
  for (;;) {
    const EventLog::Answer answer = log_->Next(cursor_);
    if (!answer.event.has_value()) return absl::nullopt;
    Response response;
    response.set_control_plane(control_plane_);
    if (answer.missed > 0 || answer.restarted) {
      response.mutable_missed()->set_count(answer.missed);
      cursor_ = log_->After(*answer.event);
      --cursor_.sequence;
      return response;
    }
    cursor_ = log_->After(*answer.event);
    if (!kinds_.empty() && kinds_.count(static_cast<int>(answer.event->kind)) == 0) continue;
    FillEvent(*answer.event, cursor_, response.mutable_event());
    return response;
  }
}

// Says nothing and does not end before its caller has been admitted or refused: until then one of
// the pool's threads knows it.
class EventStreams::Stream final : public PushWriter<Reactor, EventReader::Response> {
 public:
  Stream(grpc::CallbackServerContext* context, EventStreams* owner, uint64_t number)
      : PushWriter(context, owner), number_(number), context_(context) {}

  uint64_t number() const { return number_; }
  bool cancelled() const { return context_->IsCancelled(); }

  // Absent until there is one.
  absl::optional<Caller> caller() {
    absl::MutexLock lock(&mu_);
    if (!opening_.has_value()) return absl::nullopt;
    return opening_->caller;
  }

  // Called once, under the owner's lock: the stream may end by this.
  void Decide(absl::StatusOr<Opening> opening) {
    absl::MutexLock lock(&mu_);
    decided_ = true;
    if (!ended_.ok()) {
      MaybeFinish(ended_);
    } else if (!opening.ok()) {
      context_->AddTrailingMetadata(kOwnAnswerKey, "error");
      MaybeFinish(opening.status());
    } else {
      opening_ = *std::move(opening);
      MaybeWrite();
    }
  }

  void End(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    if (decided_) {
      MaybeFinish(status);
    } else if (ended_.ok()) {
      ended_ = status;
    }
  }

 private:
  absl::optional<EventReader::Response> NextResponse() override {
    if (!opening_.has_value()) return absl::nullopt;
    absl::optional<EventReader::Response> response = opening_->reader.Next();
    if (!response.has_value() && !opening_->reader.follow()) MaybeFinish(absl::OkStatus());
    return response;
  }

  const uint64_t number_;
  grpc::CallbackServerContext* const context_;  // Not owned: the library's, until OnDone.
  // Guarded by mu_, like the others.
  bool decided_ = false;
  // Not OK once the stream was ended before it was decided about.
  absl::Status ended_;
  absl::optional<Opening> opening_;
};

EventStreams::EventStreams(EventLog* log) : log_(log) {
  log_->SetListener([this] { WakeAll(); });
}

EventStreams::~EventStreams() {
  log_->SetListener(nullptr);
  CHECK(streams_.empty());
}

EventStreams::Reactor* EventStreams::Open(grpc::CallbackServerContext* context, ThreadPool* pool,
                                          Admission admit) {
  auto stream = std::make_unique<Stream>(context, this, next_number_++);
  Stream* const added = stream.get();
  {
    absl::MutexLock lock(&mu_);
    streams_.emplace(added, std::move(stream));
    if (!ended_.ok()) added->End(ended_);
  }
  const auto decide = [this, added](absl::StatusOr<Opening> opening) {
    absl::MutexLock lock(&mu_);
    added->Decide(std::move(opening));
  };
  ThreadPool::Work work;
  work.run = [added, decide, admit = std::move(admit)]() mutable {
    absl::StatusOr<Opening> opening = absl::CancelledError("the caller is gone");
    if (!added->cancelled()) opening = admit();
    decide(std::move(opening));
  };
  work.refuse = [decide, pool] { decide(TooManyCalls(*pool)); };
  pool->Run(PeerSource(context->peer()), std::move(work));
  return added;
}

void EventStreams::Remove(LiveStream* stream) {
  std::unique_ptr<Stream> removed;
  absl::MutexLock lock(&mu_);
  const auto it = streams_.find(stream);
  CHECK(it != streams_.end());
  removed = std::move(it->second);
  streams_.erase(it);
}

void EventStreams::WakeAll() {
  absl::MutexLock lock(&mu_);
  for (auto& entry : streams_) entry.first->Wake();
}

void EventStreams::EndInvalid(
    const std::function<std::vector<bool>(const std::vector<Caller>&)>& valid) {
  std::vector<uint64_t> numbers;
  std::vector<Caller> callers;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& entry : streams_) {
      absl::optional<Caller> caller = entry.second->caller();
      if (!caller.has_value()) continue;
      numbers.push_back(entry.second->number());
      callers.push_back(*std::move(caller));
    }
  }
  if (callers.empty()) return;
  // Without the lock: `valid` may have to wait for the store.
  const std::vector<bool> answers = valid(callers);
  CHECK(answers.size() == callers.size());
  std::set<uint64_t> ended;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i]) ended.insert(numbers[i]);
  }
  if (ended.empty()) return;
  absl::MutexLock lock(&mu_);
  for (auto& entry : streams_) {
    if (ended.count(entry.second->number()) == 0) continue;
    entry.first->End(absl::UnauthenticatedError("the token or certificate is no longer valid"));
  }
}

void EventStreams::EndAll(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  ended_ = status;
  for (auto& entry : streams_) entry.first->End(status);
}

}  // namespace byrnie
