#ifndef BYRNIE_CONTROLPLANE_WEBHOOK_REVIEW_QUEUE_H_
#define BYRNIE_CONTROLPLANE_WEBHOOK_REVIEW_QUEUE_H_

#include <list>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/http/http_message.h"
#include "common/http/http_router.h"
#include "common/net/socket_address.h"

namespace byrnie {

// The requests that wait to be answered, one in each turn of the loop. Client addresses (of IPv6:
// the /64 they are in) take turns, whatever connections each has: who sends many, or such as take
// long, is in his own way, and anybody else waits for one request of each other address at most.
// Lives on one loop; the loop outlives it, and it outlives what Add returns.
class ReviewQueue {
 public:
  // Answers a request that came at `came`, of EventLoop::Now().
  using Answer = absl::AnyInvocable<HttpResponse(const HttpRequest& request, absl::Duration came)>;

  ReviewQueue(EventLoop* loop, Answer answer);
  ReviewQueue(const ReviewQueue&) = delete;
  ReviewQueue& operator=(const ReviewQueue&) = delete;

  // As HttpRouter::DeferredHandler. The request leaves the queue with what is returned.
  std::unique_ptr<PendingHttpAnswer> Add(const HttpRequest& request, HttpRouter::Respond respond);

 private:
  class Waiting;
  // Of one address, the oldest first; never empty.
  using Source = std::pair<IpAddress, std::list<Waiting*>>;

  void AnswerNext();
  void Remove(Waiting* waiting);

  EventLoop* const loop_;  // Not owned.
  Answer answer_;
  // Whose turn it is first. As many as the server has connections at most.
  std::list<Source> sources_;
  std::unique_ptr<EventLoop::Deferred> next_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_WEBHOOK_REVIEW_QUEUE_H_
