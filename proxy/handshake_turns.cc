#include "proxy/handshake_turns.h"

#include "absl/types/optional.h"
#include "common/base/check.h"

namespace byrnie {

HandshakeTurns::HandshakeTurns(EventLoop* loop, const HandshakeQueue::Limits& limits,
                               HandshakeCounts* counts, Gauge* open)
    : queue_(limits, counts), open_(open), turn_(loop->NewDeferred([this] { Turn(); })) {}

HandshakeTurns::Place HandshakeTurns::Join(const IpAddress& source, Client* client) {
  // What has spoken since it was last looked at is not silent.
  absl::optional<uint64_t> looked_at;
  while (true) {
    const absl::optional<uint64_t> victim = queue_.SilentVictim(source);
    if (!victim.has_value() || victim == looked_at) break;
    looked_at = victim;
    clients_.at(*victim)->LookAgain();
  }
  const HandshakeQueue::Admission admission = queue_.Admit(source);
  if (admission.evicted.has_value()) {
    const auto it = clients_.find(*admission.evicted);
    DCHECK(it != clients_.end());
    Client* const evicted = it->second;
    clients_.erase(it);
    open_->Add(-1);
    evicted->OnEvicted();
  }
  if (admission.outcome == HandshakeQueue::Outcome::kAdmitted) {
    clients_.emplace(admission.id, client);
    open_->Add(1);
  }
  return {admission.outcome, admission.id};
}

void HandshakeTurns::Spoke(uint64_t id) {
  queue_.OnFirstByte(id);
  if (queue_.anyone_in_line()) turn_->Schedule();
}

void HandshakeTurns::Leave(uint64_t id) {
  queue_.Remove(id);
  if (clients_.erase(id) > 0) open_->Add(-1);
}

void HandshakeTurns::Turn() {
  const absl::optional<uint64_t> next = queue_.Next();
  if (!next.has_value()) return;
  if (queue_.anyone_in_line()) turn_->Schedule();
  clients_.at(*next)->OnTurn();
}

}  // namespace byrnie
