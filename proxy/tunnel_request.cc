#include "proxy/tunnel_request.h"

#include <utility>

#include "proxy/connect_refusal.h"
#include "proxy/pooled_tunnel.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

// Tunnels tried for one request when fresh ones turn out to have no room.
constexpr int kMaxAttempts = 4;

}  // namespace

bool TunnelPool::PendingRequest::WaitsForHandshake() const {
  return tunnel_ != nullptr && tunnel_->WaitsForPeer();
}

TunnelPool::PendingRequest::~PendingRequest() {
  stream_.reset();
  Detach();
}

void TunnelPool::PendingRequest::Detach() {
  stream_.reset();
  Tunnel* tunnel = std::exchange(tunnel_, nullptr);
  if (tunnel != nullptr) tunnel->Remove(this);
}

void TunnelPool::PendingRequest::StartStream() {
  absl::StatusOr<std::unique_ptr<ConnectStream>> stream = tunnel_->session()->OpenStream(
      request_, [this](absl::Status status, int http_status, const HeaderList& headers) {
        OnResponse(std::move(status), http_status, headers);
      });
  if (!stream.ok()) {
    Detach();
    if (attempts_ < kMaxAttempts) {
      pool_->Assign(this, /*fresh=*/true);
    } else {
      Fail(stream.status());
    }
    return;
  }
  stream_ = *std::move(stream);
  tunnel_->AddOpening(this);
}

void TunnelPool::PendingRequest::OnResponse(absl::Status status, int http_status,
                                            const HeaderList& headers) {
  if (!status.ok()) {
    if (absl::IsDeadlineExceeded(status) && tunnel_->silent()) {
      // A new tunnel to the same peer would hardly do better, and whoever asks may know another.
      Fail(WithReason(absl::UnavailableError(status.message()), tunnel_reason::kPeerSilent));
    } else if (http_status == 0) {
      // No answer: the tunnel broke, or the peer refused the stream unprocessed
      // (RFC 9113 section 8.7).
      Retry(std::move(status), /*handshaking=*/false);
    } else {
      Fail(ConnectRefusal(status.code(), http_status, headers));
    }
    return;
  }
  Opened opened;
  opened.peer = tunnel_->peer();
  opened.stream_id = stream_->id();
  opened.stream =
      std::make_unique<PooledStream>(tunnel_, pool_->options_.bulk_bytes, std::move(stream_));
  Detach();
  Callback done = std::move(done_);
  done(std::move(opened));
}

void TunnelPool::PendingRequest::Retry(absl::Status why, bool handshaking) {
  // A handshake that was under way when either pod's agent was restarted fails
  // for that alone: the new agent cannot sign for the leaf of the old one. Here
  // the identity was replaced meanwhile; of the peer only its end of the
  // connection is seen.
  const bool outdated = tunnel_ != nullptr && pool_->identity_.has_value() &&
                        tunnel_->key().generation != pool_->identity_->generation;
  const bool ended_by_peer = handshaking && absl::IsUnavailable(why);
  const bool not_processed = absl::IsAborted(why);
  Detach();
  const bool once_more = !retried_ && (!fresh_ || ended_by_peer);
  if (attempts_ >= kMaxAttempts || (!outdated && !not_processed && !once_more)) {
    Fail(not_processed ? absl::UnavailableError(why.message()) : std::move(why));
    return;
  }
  // Neither uses up the one more try after a broken tunnel.
  retried_ = retried_ || !(outdated || not_processed);
  // Those who waited together do so again; a pooled tunnel that broke may have
  // broken companions.
  pool_->Assign(this, /*fresh=*/!fresh_);
}

}  // namespace byrnie
