#include "controlplane/operator/event_streams.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/grpc/error_details.h"
#include "common/grpc/push_stream.h"
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

class EventStreams::Stream final : public PushWriter<Reactor, EventReader::Response> {
 public:
  Stream(grpc::CallbackServerContext* context, EventStreams* owner, uint64_t number, Caller caller,
         EventReader reader)
      : PushWriter(context, owner),
        number_(number),
        caller_(std::move(caller)),
        reader_(std::move(reader)) {}

  uint64_t number() const { return number_; }
  const Caller& caller() const { return caller_; }

 private:
  absl::optional<EventReader::Response> NextResponse() override {
    absl::optional<EventReader::Response> response = reader_.Next();
    if (!response.has_value() && !reader_.follow()) MaybeFinish(absl::OkStatus());
    return response;
  }

  const uint64_t number_;
  const Caller caller_;
  EventReader reader_;
};

EventStreams::EventStreams(EventLog* log) : log_(log) {
  log_->SetListener([this] { WakeAll(); });
}

EventStreams::~EventStreams() {
  log_->SetListener(nullptr);
  CHECK(streams_.empty());
}

EventStreams::Reactor* EventStreams::Open(grpc::CallbackServerContext* context, Caller caller,
                                          EventReader reader) {
  auto stream =
      std::make_unique<Stream>(context, this, next_number_++, std::move(caller), std::move(reader));
  Stream* const added = stream.get();
  {
    absl::MutexLock lock(&mu_);
    streams_.emplace(added, std::move(stream));
    if (!ended_.ok()) added->End(ended_);
  }
  added->Start();
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
      numbers.push_back(entry.second->number());
      callers.push_back(entry.second->caller());
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
