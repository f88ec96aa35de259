#ifndef BYRNIE_PROXY_INBOUND_H_
#define BYRNIE_PROXY_INBOUND_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/event/event_loop.h"
#include "common/http2/connect_session.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"
#include "proxy/app_dial.h"
#include "proxy/connection.h"
#include "proxy/peer_info.h"
#include "proxy/peer_usage.h"

namespace byrnie {

// Where an inbound connection through a tunnel may go, and what the answer is when it may not.
struct InboundTarget {
  SocketAddress address;
  // 200, or the status to answer with.
  int http_status = 200;
  // Of the closed set of AccessRecord::reason; empty when it may.
  absl::string_view reason;
};

// Judges the authority of a CONNECT that arrived on the address `local`: it must be this very
// address with a port (400 otherwise), and not one of the sidecar's own ports (403). Pure.
InboundTarget CheckAuthority(const ProxyConfig& config, const IpAddress& local,
                             absl::string_view authority);

// A connection of another pod to this pod's application, through a tunnel. Authorized before
// anything is dialled, and again when policies change. What comes without a tunnel is a
// RedirectedConnection. One whose peer takes it back while the application is dialled ends at once.
class InboundConnection final : public Connection {
 public:
  // `local` is the address on which the tunnel ends.
  InboundConnection(WorkerContext* context, std::unique_ptr<ConnectStream> stream,
                    std::string authority, const SocketAddress& source, const IpAddress& local,
                    std::shared_ptr<const PeerInfo> peer);
  ~InboundConnection() override;

  // What counts it among its peer's connections, until it ends.
  void set_share(PeerUsage::Share share) { share_ = std::move(share); }

  void Start() override;
  absl::optional<std::string> Recheck() override;

 private:
  // Hears that the peer has taken its request back.
  class StreamWatch final : public ByteStream::Observer {
   public:
    explicit StreamWatch(InboundConnection* connection) : connection_(connection) {}
    void OnReadable() override { connection_->OnStreamReadable(); }
    void OnWritable() override {}

   private:
    InboundConnection* const connection_;
  };

  void OnStreamReadable();
  // The peer gets an answer, as it would have got a reset that says why later.
  void RefuseLate(AccessRecord::Result result, absl::string_view reason,
                  std::string detail) override;
  ConnectionFacts Facts() const;
  void AuthorizeAndDial();
  void OnDialed(absl::StatusOr<std::unique_ptr<TcpStream>> stream);
  // Tells the peer and ends.
  void Answer(int http_status, AccessRecord::Result result, absl::string_view reason,
              std::string detail);

  StreamWatch stream_watch_{this};
  std::unique_ptr<ConnectStream> stream_;
  std::string authority_;
  IpAddress local_;
  PeerUsage::Share share_;
  std::unique_ptr<AppDial> dial_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_INBOUND_H_
