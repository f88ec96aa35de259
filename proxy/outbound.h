#ifndef BYRNIE_PROXY_OUTBOUND_H_
#define BYRNIE_PROXY_OUTBOUND_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"
#include "proxy/connection.h"
#include "proxy/resolver.h"
#include "proxy/routing_table.h"
#include "proxy/tunnel_pool.h"

namespace byrnie {

// A connection of this pod's application to somewhere, redirected to the proxy: routed, then
// carried through a tunnel or, to what is not in the mesh, as it is.
class OutboundConnection final : public Connection {
 public:
  // `original_destination` is what the kernel says of `app`'s socket.
  OutboundConnection(WorkerContext* context, std::unique_ptr<TcpStream> app,
                     absl::StatusOr<SocketAddress> original_destination);
  ~OutboundConnection() override;

  void Start() override;
  void OnResolved(Resolver::Outcome outcome) override;

 private:
  void Route(bool may_ask);
  void OpenTunnel(const RouteDecision& decision);
  void OpenDirect(const RouteDecision& decision);
  void StartSetupTimer();
  // What a CONNECT says beside where to; begins its trace.
  HeaderList HeadersFor(const RouteDecision& decision);
  void OnTunnel(absl::StatusOr<TunnelPool::Opened> opened);
  void DialPlain(const SocketAddress& destination);
  void OnPlain(absl::StatusOr<std::unique_ptr<TcpStream>> stream);
  void OnSetupTimeout();

  std::unique_ptr<TcpStream> app_;
  absl::StatusOr<SocketAddress> kernel_destination_;
  std::unique_ptr<TunnelPool::Request> request_;
  std::unique_ptr<TcpStream::Attempt> attempt_;
  std::unique_ptr<EventLoop::Timer> setup_timer_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_OUTBOUND_H_
