#include "proxy/probe_dialer.h"

#include <utility>

#include "absl/status/status.h"
#include "common/base/check.h"
#include "common/net/tcp_stream.h"

namespace byrnie {

class SocketProbeDialer::AttemptImpl final : public ProbeDialer::Attempt {
 public:
  AttemptImpl(EventLoop* loop, const SocketAddress& address,
              absl::optional<UnverifiedTlsClient> client, absl::Duration timeout, Callback done)
      : loop_(loop),
        client_(std::move(client)),
        timeout_(timeout),
        done_(std::move(done)),
        tell_(loop->NewDeferred([this] { Tell(); })) {
    TcpStream::ConnectOptions options;
    options.timeout = timeout;
    tcp_ = TcpStream::Connect(loop, address, options,
                              [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                                OnConnected(std::move(stream));
                              });
  }

 private:
  void OnConnected(absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
    if (!stream.ok() || !client_.has_value()) {
      result_ = std::move(stream);
      tell_->Schedule();
      return;
    }
    tls_ = client_->Start(loop_, *std::move(stream), timeout_, [this](absl::Status status) {
      handshake_ = std::move(status);
      tell_->Schedule();  // It is not moved out of its own call.
    });
  }

  void Tell() {
    Callback done = std::move(done_);
    if (tls_ == nullptr) return done(std::move(result_));
    if (!handshake_.ok()) return done(handshake_);
    done(std::move(tls_));
  }

  EventLoop* const loop_;                             // Not owned.
  const absl::optional<UnverifiedTlsClient> client_;  // Absent for no TLS.
  const absl::Duration timeout_;
  Callback done_;
  std::unique_ptr<EventLoop::Deferred> tell_;
  std::unique_ptr<TcpStream::Attempt> tcp_;
  absl::StatusOr<std::unique_ptr<ByteStream>> result_ = absl::UnknownError("not connected yet");
  std::unique_ptr<ByteStream> tls_;
  absl::Status handshake_;
};

std::unique_ptr<ProbeDialer::Attempt> SocketProbeDialer::Dial(const SocketAddress& address,
                                                              bool tls, absl::Duration timeout,
                                                              Callback done) {
  if (tls && !tls_.has_value()) {
    // Nothing but a lack of memory keeps it from being made.
    absl::StatusOr<UnverifiedTlsClient> client = UnverifiedTlsClient::Create("http/1.1");
    CHECK(client.ok());
    tls_ = *std::move(client);
  }
  return std::make_unique<AttemptImpl>(loop_, address, tls ? tls_ : absl::nullopt, timeout,
                                       std::move(done));
}

}  // namespace byrnie
