#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_API_CONNECTOR_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_API_CONNECTOR_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "controlplane/kubernetes/api_credentials.h"

namespace byrnie {

// Makes connections to the API server. Lives on one loop.
class ApiConnector {
 public:
  // Destroying it gives up; may happen in its callback.
  class Attempt {
   public:
    virtual ~Attempt() = default;
  };
  // Once, in a later turn: Unavailable, or Unauthenticated when it is not the API server.
  using Callback = absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<ByteStream>>)>;

  virtual ~ApiConnector() = default;
  virtual std::unique_ptr<Attempt> Connect(Callback done) = 0;
};

// TLS over TCP, or over what an HTTP proxy makes of it. A host name is looked up by getaddrinfo, on
// the loop's thread: that loop serves nothing but this server. Its addresses are tried in order.
class TlsApiConnector final : public ApiConnector {
 public:
  static constexpr absl::Duration kConnectTimeout = absl::Seconds(5);
  static constexpr absl::Duration kHandshakeTimeout = absl::Seconds(5);

  // The pointers outlive it.
  TlsApiConnector(EventLoop* loop, ApiCredentials* credentials)
      : loop_(loop), credentials_(credentials) {}

  std::unique_ptr<Attempt> Connect(Callback done) override;

 private:
  class AttemptImpl;
  absl::StatusOr<std::vector<SocketAddress>> Resolve() const;

  EventLoop* const loop_;              // Not owned.
  ApiCredentials* const credentials_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_API_CONNECTOR_H_
