#include "proxy/handshake_turns.h"

#include "absl/types/optional.h"
#include "common/base/check.h"

namespace byrnie {

HandshakeTurns::HandshakeTurns(EventLoop* loop, const HandshakeQueue::Limits& limits,
                               HandshakeCounts* counts)
    : queue_(limits, counts), turn_(loop->NewDeferred([this] { Turn(); })) {}

HandshakeTurns::Place HandshakeTurns::Join(const IpAddress& source, Client* client) {
  const HandshakeQueue::Admission admission = queue_.Admit(source);
  if (admission.evicted.has_value()) {
    const auto it = clients_.find(*admission.evicted);
    DCHECK(it != clients_.end());
    Client* const evicted = it->second;
    clients_.erase(it);
    evicted->OnEvicted();
  }
  if (admission.outcome == HandshakeQueue::Outcome::kAdmitted) {
    clients_.emplace(admission.id, client);
    queue_.OnFirstByte(admission.id);
    turn_->Schedule();
  }
  return {admission.outcome, admission.id};
}

void HandshakeTurns::Leave(uint64_t id) {
  queue_.Remove(id);
  clients_.erase(id);
}

void HandshakeTurns::Turn() {
  const absl::optional<uint64_t> next = queue_.Next();
  if (!next.has_value()) return;
  if (queue_.anyone_in_line()) turn_->Schedule();
  clients_.at(*next)->OnTurn();
}

}  // namespace byrnie
