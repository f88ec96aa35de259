#ifndef BYRNIE_PROXY_OUTBOUND_H_
#define BYRNIE_PROXY_OUTBOUND_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"
#include "proxy/connection.h"
#include "proxy/resolver.h"
#include "proxy/routing_table.h"
#include "proxy/tunnel_pool.h"

namespace byrnie {

// A connection of this pod's application to somewhere, redirected to the proxy: routed, then
// carried through a tunnel or, to what is not in the mesh, as it is.
//
// An endpoint of a service that cannot be connected to is replaced by another one, within
// --connect_attempts and one deadline for all; nothing the application has sent is read before an
// attempt has succeeded. One that leaves the connection, the handshake or a PING unanswered for
// ProxyConfig::endpoint_patience is left for another one, where there is one; one that answers, and
// takes its time for the application's connection, is waited for. One that has said that it takes
// no more (GOAWAY) is like one that failed a moment ago: others are asked first, and who waits for
// a connection to it does so for kLeavingPatience where there are others. A peer that refuses by
// policy has decided for its service: nobody else is asked. One that proves another identity than
// known makes the control plane be asked about its address, once, and the answer be tried.
//
// An application that resets before an attempt has succeeded ends them: at once or, where it had
// sent something before, within a second, for who says a word and resets has it delivered by a
// network without a proxy where the destination answers. One that only ends its own direction waits
// for an answer.
class OutboundConnection final : public Connection {
 public:
  // `original_destination` is what the kernel says of `app`'s socket.
  OutboundConnection(WorkerContext* context, std::unique_ptr<TcpStream> app,
                     absl::StatusOr<SocketAddress> original_destination);
  ~OutboundConnection() override;

  void Start() override;
  void OnResolved(Resolver::Outcome outcome) override;

 private:
  // Hears that the application is gone while nobody reads what it sends.
  class AppWatch final : public ByteStream::Observer {
   public:
    explicit AppWatch(OutboundConnection* connection) : connection_(connection) {}
    void OnReadable() override { connection_->OnAppReadable(); }
    void OnWritable() override {}

   private:
    OutboundConnection* const connection_;
  };

  void OnAppReadable();
  void OnAppGone();
  // Where the table says that it goes now, endpoints that were tried left out.
  RouteDecision Decide();
  void Route(bool may_ask);
  void OnLookupFailure(absl::string_view reason, std::string detail);
  // Makes one attempt at what was decided; its end is OnConnected or OnAttemptFailed.
  void Try(RouteDecision decision);
  void OpenTunnel();
  void OpenDirect();
  // What a CONNECT says beside where to; begins its trace.
  HeaderList HeadersFor(const RouteDecision& decision);
  void OnTunnel(absl::StatusOr<TunnelPool::Opened> opened);
  void DialPlain();
  void OnPlain(absl::StatusOr<std::unique_ptr<TcpStream>> stream);
  void OnConnected();
  void OnAttemptFailed(const absl::Status& status, absl::string_view reason);
  // The present attempt's endpoint: not again, and for others not for a while.
  void NoteFailedEndpoint();
  // Tries somebody else, or ends the connection for the failure of the present attempt.
  void RetryOrRefuse();
  void OnRefreshed(Resolver::Outcome outcome);
  // The attempt's share of the time is over, or all of it.
  void OnSetupTimer();
  void OnSetupTimeout();
  // Where the present attempt waits for its endpoint's first word, and there is a better one to
  // try: that one.
  absl::optional<RouteDecision> BetterElsewhere();
  bool IsOut(const SocketAddress& endpoint) const;

  AppWatch app_watch_{this};
  std::unique_ptr<TcpStream> app_;
  // Of what an application that is gone had sent; null: it is there.
  std::unique_ptr<EventLoop::Timer> last_words_;
  absl::StatusOr<SocketAddress> kernel_destination_;
  // Of the present attempt.
  RouteDecision decision_;
  int attempts_ = 0;
  // Why the last attempt failed.
  absl::Status failure_;
  absl::string_view failure_reason_;
  // Endpoints that are not to be tried again.
  std::vector<SocketAddress> tried_;
  // The control plane is being asked about the endpoint's address, or has been.
  enum class Refresh { kNotYet, kAsked, kDone };
  Refresh refresh_ = Refresh::kNotYet;
  std::unique_ptr<TunnelPool::Request> request_;
  std::unique_ptr<TcpStream::Attempt> attempt_;
  // At the end of the attempt's share, then at setup_ends_, which is of all attempts together.
  std::unique_ptr<EventLoop::Timer> setup_timer_;
  absl::Duration setup_ends_;
  absl::Duration attempt_began_;
  // The last endpoint is being tried again, on another tunnel than one that was silent.
  bool tried_anew_ = false;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_OUTBOUND_H_
