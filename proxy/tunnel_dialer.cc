#include "proxy/tunnel_dialer.h"

#include <utility>

#include "common/net/own_priority.h"
#include "common/net/tcp_stream.h"
#include "proxy/source_ports.h"

namespace byrnie {
namespace {

class TlsAttempt final : public TunnelDialer::Attempt {
 public:
  TlsAttempt(EventLoop* loop, const TunnelTarget& target, std::shared_ptr<const TlsContext> context,
             const ProxyConfig& config, const PortRange& source_ports, BufferBudget* budget,
             ScratchPool* scratch, const Overload* overload, const ProxyMetrics* metrics,
             TunnelDialer::Callback done)
      : loop_(loop),
        overload_(overload),
        metrics_(metrics),
        who_(target.for_proof ? Overload::Who::kProof : Overload::Who::kKnown),
        context_(std::move(context)),
        done_(std::move(done)) {
    tls_options_.allowed_peers = target.allowed_peers;
    tls_options_.handshake_timeout = config.handshake_timeout;
    tls_options_.budget = budget;
    tls_options_.scratch = scratch;
    TcpStream::ConnectOptions options;
    options.timeout = config.connect_timeout;
    options.source_ports = source_ports;
    options.priority = kOwnPriority;
    connecting_ = TcpStream::Connect(loop, target.address, options,
                                     [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                                       OnConnected(std::move(stream));
                                     });
  }

  bool WaitsForPeer() const override { return tls_ == nullptr || !tls_->waits_for_signer(); }

 private:
  void OnConnected(absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
    if (!stream.ok()) {
      Finish(stream.status());
      return;
    }
    absl::Status taken = overload_->CheckDialled((*stream)->fd(), who_);
    if (!taken.ok()) {
      Finish(std::move(taken));
      return;
    }
    past_limit_ = (*stream)->fd() >= overload_->sockets();
    dialled_at_ = loop_->Now();
    tls_ =
        TlsStream::Create(loop_, *std::move(stream), std::move(context_), std::move(tls_options_),
                          [this](absl::Status status) { OnHandshake(std::move(status)); });
  }

  void OnHandshake(absl::Status status) {
    metrics_->CountHandshake(AccessRecord::Direction::kOutbound, status);
    if (!status.ok()) {
      Finish(std::move(status));
      return;
    }
    TunnelDialer::Transport transport{
        nullptr, tls_->peer(), tls_->session(), tls_->peer_chain(), dialled_at_, past_limit_};
    transport.stream = std::move(tls_);
    Finish(std::move(transport));
  }

  void Finish(absl::StatusOr<TunnelDialer::Transport> result) {
    // The callback may destroy this.
    TunnelDialer::Callback done = std::move(done_);
    done(std::move(result));
  }

  EventLoop* const loop_;              // Not owned.
  const Overload* const overload_;     // Not owned.
  const ProxyMetrics* const metrics_;  // Not owned.
  const Overload::Who who_;
  bool past_limit_ = false;
  std::shared_ptr<const TlsContext> context_;
  TlsStream::Options tls_options_;
  TunnelDialer::Callback done_;
  absl::Duration dialled_at_;
  std::unique_ptr<TcpStream::Attempt> connecting_;
  std::unique_ptr<TlsStream> tls_;
};

}  // namespace

std::unique_ptr<TunnelDialer::Attempt> TlsTunnelDialer::Dial(
    const TunnelTarget& target, std::shared_ptr<const TlsContext> context, Callback done) {
  return std::make_unique<TlsAttempt>(loop_, target, std::move(context), *config_,
                                      ChooseSourcePorts(config_->local_ports, *random_), budget_,
                                      scratch_, overload_, metrics_, std::move(done));
}

}  // namespace byrnie
