#include "proxy/handshake_gate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/net/socket.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {

class HandshakeGate::Waiting final : public ByteStream::Observer {
 public:
  Waiting(HandshakeGate* gate, Arrival arrival)
      : gate_(gate),
        arrival_(std::move(arrival)),
        timer_(gate->loop_->NewTimer([this] { gate_->OnTimeout(this); })) {
    timer_->Schedule(gate->options_.first_byte_timeout);
    arrival_.stream->SetObserver(this);
  }

  const Arrival& arrival() const { return arrival_; }
  bool spoken() const { return spoken_; }
  // Also an end without a byte: it is for the handshake to say what that means.
  bool HasInput() const { return byrnie::HasInput(arrival_.stream->fd()); }
  void NoteFirstByte() {
    spoken_ = true;
    timer_->Schedule(arrival_.arrived + gate_->options_.handshake_timeout - gate_->loop_->Now());
  }
  // Once more so long, or until the end of the time for the handshake.
  void WaitOn(absl::Duration left) {
    timer_->Schedule(std::min(left, gate_->options_.first_byte_timeout));
  }
  Arrival Take() {
    timer_->Cancel();
    arrival_.stream->SetObserver(nullptr);
    return std::move(arrival_);
  }
  void End() {
    timer_->Cancel();
    arrival_.stream.reset();
    arrival_.note.reset();
  }

 private:
  void OnReadable() override { gate_->OnFirstByte(this); }
  void OnWritable() override {}

  HandshakeGate* const gate_;  // Not owned.
  Arrival arrival_;
  bool spoken_ = false;
  std::unique_ptr<EventLoop::Timer> timer_;
};

HandshakeGate::HandshakeGate(EventLoop* loop, const Options& options, HandshakeCounts* counts,
                             Handler* handler)
    : loop_(loop),
      options_(options),
      handler_(handler),
      queue_(options.limits, counts),
      turn_(loop->NewDeferred([this] { Turn(); })) {}

HandshakeGate::~HandshakeGate() = default;

void HandshakeGate::Accept(std::unique_ptr<TcpStream> stream, const SocketAddress& source,
                           const IpAddress& local, std::unique_ptr<Note> note) {
  // What has spoken since it was last looked at is not silent.
  while (const absl::optional<uint64_t> victim = queue_.SilentVictim(source.ip())) {
    Waiting* const waiting = waiting_.at(*victim).get();
    if (!waiting->HasInput()) break;
    OnFirstByte(waiting);
  }
  Arrival arrival{0, std::move(stream), source, local, loop_->Now(), std::move(note)};
  const HandshakeQueue::Admission admission = queue_.Admit(source.ip());
  if (admission.evicted.has_value()) Evict(*admission.evicted);
  switch (admission.outcome) {
    case HandshakeQueue::Outcome::kAdmitted:
      break;
    case HandshakeQueue::Outcome::kSourceFull:
      arrival.stream.reset();
      handler_->OnRefused(
          arrival, tunnel_reason::kHandshakeSourceLimit,
          absl::StrCat(queue_.limits().per_source, " handshakes of this address are under way"));
      return;
    case HandshakeQueue::Outcome::kFull:
      arrival.stream.reset();
      handler_->OnRefused(arrival, tunnel_reason::kHandshakeLimit,
                          absl::StrCat(queue_.limits().total, " handshakes are under way"));
      return;
  }
  arrival.id = admission.id;
  waiting_.emplace(admission.id, std::make_unique<Waiting>(this, std::move(arrival)));
}

void HandshakeGate::OnFirstByte(Waiting* waiting) {
  if (waiting->spoken()) return;
  waiting->NoteFirstByte();
  queue_.OnFirstByte(waiting->arrival().id);
  turn_->Schedule();
}

void HandshakeGate::OnTimeout(Waiting* waiting) {
  if (waiting->spoken()) {
    Refuse(waiting, tunnel_reason::kHandshakeTimeout, "its turn did not come in time");
  } else if (waiting->HasInput()) {
    OnFirstByte(waiting);
  } else {
    const Arrival& arrival = waiting->arrival();
    const absl::Duration waited = loop_->Now() - arrival.arrived;
    const absl::Duration left = options_.handshake_timeout - waited;
    // It may be a valid peer on a slow path: it waits for as long as it is in nobody's way.
    if (left > absl::ZeroDuration() && !hurried_ && !queue_.Crowded(arrival.source.ip())) {
      waiting->WaitOn(left);
      return;
    }
    Refuse(waiting, tunnel_reason::kHandshakeSilent,
           absl::StrCat("no byte within ",
                        absl::FormatDuration(absl::Trunc(waited, absl::Milliseconds(100)))));
  }
}

void HandshakeGate::Refuse(Waiting* waiting, absl::string_view reason, std::string detail) {
  const uint64_t id = waiting->arrival().id;
  queue_.Remove(id);
  waiting->End();
  handler_->OnRefused(waiting->arrival(), reason, std::move(detail));
  const auto it = waiting_.find(id);
  ended_.push_back(std::move(it->second));
  waiting_.erase(it);
  turn_->Schedule();
}

void HandshakeGate::Evict(uint64_t id) {
  const auto it = waiting_.find(id);
  if (it == waiting_.end()) {
    handler_->OnEvicted(id);
    return;
  }
  Refuse(it->second.get(), tunnel_reason::kHandshakeEvicted,
         it->second->spoken() ? "unfinished, and the room was needed"
                              : "silent, and the room was needed");
}

void HandshakeGate::Turn() {
  ended_.clear();
  const absl::optional<uint64_t> next = queue_.Next();
  if (!next.has_value()) return;
  if (queue_.anyone_in_line()) turn_->Schedule();
  const auto it = waiting_.find(*next);
  DCHECK(it != waiting_.end());
  Arrival arrival = it->second->Take();
  waiting_.erase(it);
  handler_->OnTurn(std::move(arrival));
}

}  // namespace byrnie
