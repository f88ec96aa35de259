#include "proxy/direct_mtls.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/peer_info.h"
#include "proxy/trust_change.h"

namespace byrnie {
namespace {

// Handshakes for one connection, however often identities are replaced meanwhile.
constexpr int kMaxAttempts = 4;

}  // namespace

class DirectMtls::Opening final : public TunnelPool::Request {
 public:
  Opening(DirectMtls* owner, TunnelTarget target, TunnelPool::Callback done)
      : owner_(owner),
        target_(std::move(target)),
        done_(std::move(done)),
        deferred_(owner->loop_->NewDeferred([this] { Act(); })) {
    deferred_->Schedule();
  }

  bool WaitsForHandshake() const override {
    return attempt_ != nullptr && attempt_->WaitsForPeer();
  }

 private:
  // The next attempt or the end, outside of everybody's call.
  void Act() {
    if (!failure_.ok()) {
      Tell(std::move(failure_));
      return;
    }
    identity_ = (*owner_->mesh_)->identity;
    if (identity_ == nullptr) {
      Tell(absl::FailedPreconditionError("no identity yet"));
      return;
    }
    absl::Status valid = identity_->identity->CheckValidAt(owner_->loop_->WallNow());
    if (!valid.ok()) {
      Tell(std::move(valid));
      return;
    }
    if (target_.allowed_peers.empty()) {
      Tell(absl::InternalError("no identity is allowed at the other end"));
      return;
    }
    ++attempts_;
    attempt_ = owner_->dialer_->Dial(target_, identity_->direct_client,
                                     [this](absl::StatusOr<TunnelDialer::Transport> transport) {
                                       OnDialed(std::move(transport));
                                     });
  }

  void OnDialed(absl::StatusOr<TunnelDialer::Transport> transport) {
    const IdentitySnapshot& used = *identity_->identity;
    const IdentitySnapshot& now = *(*owner_->mesh_)->identity->identity;
    const bool outdated = now.generation() != used.generation();
    if (!transport.ok()) {
      Retry(transport.status(), outdated);
      return;
    }
    auto peer = std::make_shared<PeerInfo>(
        PeerInfo{std::move(transport->peer), std::move(transport->session), used.id(),
                 used.generation(), used.not_after(), std::move(transport->peer_chain)});
    // The handshake was judged by the bundles it began with.
    const absl::Status proven =
        outdated ? CheckProven(now.bundles(), *peer, owner_->loop_->WallNow()) : absl::OkStatus();
    if (!proven.ok()) {
      Tell(proven);
      return;
    }
    owner_->proofs_->Record(target_.address, now, owner_->loop_->WallNow(), peer.get());
    TunnelPool::Opened opened;
    opened.stream = std::move(transport->stream);
    opened.peer = std::move(peer);
    Tell(std::move(opened));
  }

  void Retry(absl::Status why, bool outdated) {
    // As in TunnelPool: a handshake that a restart of either pod's agent overtook fails for that
    // alone. Here the identity was replaced meanwhile; of the peer only its end of the connection
    // is seen.
    const bool once_more = !retried_ && absl::IsUnavailable(why);
    if (attempts_ >= kMaxAttempts || (!outdated && !once_more)) {
      failure_ = std::move(why);
    } else {
      retried_ = retried_ || !outdated;
    }
    deferred_->Schedule();
  }

  // The callback may destroy this.
  void Tell(absl::StatusOr<TunnelPool::Opened> result) {
    TunnelPool::Callback done = std::move(done_);
    done(std::move(result));
  }

  DirectMtls* const owner_;  // Not owned.
  const TunnelTarget target_;
  TunnelPool::Callback done_;
  std::shared_ptr<const IdentityInUse> identity_;
  int attempts_ = 0;
  bool retried_ = false;
  absl::Status failure_;
  std::unique_ptr<TunnelDialer::Attempt> attempt_;
  std::unique_ptr<EventLoop::Deferred> deferred_;
};

std::unique_ptr<TunnelPool::Request> DirectMtls::Open(TunnelTarget target,
                                                      TunnelPool::Callback done) {
  return std::make_unique<Opening>(this, std::move(target), std::move(done));
}

}  // namespace byrnie
