#include "controlplane/webhook/review_queue.h"

#include <algorithm>
#include <utility>

namespace byrnie {

class ReviewQueue::Waiting final : public PendingHttpAnswer {
 public:
  Waiting(ReviewQueue* queue, const HttpRequest& request, HttpRouter::Respond respond)
      : queue_(queue),
        request_(request),
        source_(SourceKey(request.peer.ip())),
        respond_(std::move(respond)),
        came_(queue->loop_->Now()) {}
  ~Waiting() override {
    if (queue_ != nullptr) queue_->Remove(this);
  }

  const IpAddress& source() const { return source_; }

  // It is in no queue any more.
  void Respond(Answer* answer) {
    queue_ = nullptr;
    HttpResponse response = (*answer)(request_, came_);
    // A client that takes its time to read holds the answer alone.
    request_ = HttpRequest();
    respond_(std::move(response));
  }

 private:
  ReviewQueue* queue_;  // Not owned; null when it is answered.
  HttpRequest request_;
  const IpAddress source_;
  HttpRouter::Respond respond_;
  const absl::Duration came_;
};

ReviewQueue::ReviewQueue(EventLoop* loop, Answer answer)
    : loop_(loop), answer_(std::move(answer)), next_(loop->NewDeferred([this] { AnswerNext(); })) {}

std::unique_ptr<PendingHttpAnswer> ReviewQueue::Add(const HttpRequest& request,
                                                    HttpRouter::Respond respond) {
  auto waiting = std::make_unique<Waiting>(this, request, std::move(respond));
  auto source = std::find_if(sources_.begin(), sources_.end(),
                             [&](const Source& one) { return one.first == waiting->source(); });
  if (source == sources_.end()) {
    source = sources_.insert(sources_.end(), Source(waiting->source(), {}));
  }
  source->second.push_back(waiting.get());
  next_->Schedule();
  return waiting;
}

void ReviewQueue::AnswerNext() {
  if (sources_.empty()) return;
  std::list<Waiting*>& of_source = sources_.front().second;
  Waiting* const waiting = of_source.front();
  of_source.pop_front();
  if (of_source.empty()) {
    sources_.pop_front();
  } else {
    sources_.splice(sources_.end(), sources_, sources_.begin());
  }
  // What has come meanwhile is read before the next one: it may be of an address that has its turn.
  if (!sources_.empty()) next_->Schedule();
  waiting->Respond(&answer_);
}

void ReviewQueue::Remove(Waiting* waiting) {
  const auto source = std::find_if(sources_.begin(), sources_.end(), [&](const Source& one) {
    return one.first == waiting->source();
  });
  source->second.remove(waiting);
  if (source->second.empty()) sources_.erase(source);
}

}  // namespace byrnie
