#ifndef BYRNIE_PROXY_PROBE_DIALER_H_
#define BYRNIE_PROXY_PROBE_DIALER_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "common/tls/unverified_tls_client.h"

namespace byrnie {

// Connects to the application for its health probes. Lives on one loop.
class ProbeDialer {
 public:
  // One that is under way; destroying it gives it up, and its callback does not run.
  class Attempt {
   public:
    virtual ~Attempt() = default;
  };
  using Callback = absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<ByteStream>>)>;

  virtual ~ProbeDialer() = default;
  // Connects, and with `tls` speaks TLS in which nothing is verified. `done` runs once, in a later
  // turn, with errors as TcpStream::Connect and TlsStream's; it may destroy the attempt.
  virtual std::unique_ptr<Attempt> Dial(const SocketAddress& address, bool tls,
                                        absl::Duration timeout, Callback done) = 0;
};

// By the kernel's sockets. As the proxy's user, whose connections no rule leads back to it.
class SocketProbeDialer final : public ProbeDialer {
 public:
  explicit SocketProbeDialer(EventLoop* loop) : loop_(loop) {}
  std::unique_ptr<Attempt> Dial(const SocketAddress& address, bool tls, absl::Duration timeout,
                                Callback done) override;

 private:
  class AttemptImpl;

  EventLoop* const loop_;  // Not owned.
  // Made when it is first needed.
  absl::optional<UnverifiedTlsClient> tls_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PROBE_DIALER_H_
