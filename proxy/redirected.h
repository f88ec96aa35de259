#ifndef BYRNIE_PROXY_REDIRECTED_H_
#define BYRNIE_PROXY_REDIRECTED_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "common/event/event_loop.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_stream.h"
#include "common/tls/tls_stream.h"
#include "proxy/app_dial.h"
#include "proxy/connection.h"
#include "proxy/handshake_turns.h"
#include "proxy/peer_usage.h"
#include "proxy/sniffer.h"

namespace byrnie {

// A connection to the pod's application that was redirected to the inbound port: direct mTLS of a
// mesh peer, the application's own TLS, or plaintext. Nobody knows which before a byte has come,
// and it does not wait for one:
//
// Where plaintext may pass, the application is dialled at once. If it speaks first, the connection
// is plaintext. If the client does, its bytes decide: a ClientHello for the mesh is answered here
// and the connection dialled becomes the one behind it; anything else is passed on untouched. A
// client that has sent a part of a ClientHello has spoken first: the application's greeting waits
// for the rest of it, until a deadline. A silent connection is an idle one, and ends as those do.
// Only a peer that reaches this pod by direct mTLS, as discovery knows, is waited for, as long as
// a first byte may take elsewhere: it speaks first, and a greeting before its hello would break
// its TLS. About who is not known discovery is asked for the next time, and nothing waits for the
// answer.
//
// Where plaintext may not pass, nothing is dialled before the peer is verified and allowed, and
// until then it has a place in direct_arrivals or direct_turns, from the accept on, and is none of
// the connections open.
//
// States: sniffing → carrying (plaintext: waits for the application, then relays)
//                  → waiting for its turn → handshaking → carrying (mTLS).
class RedirectedConnection final : public Connection, private HandshakeTurns::Client {
 public:
  // `original_destination` is what the kernel says of the socket.
  RedirectedConnection(WorkerContext* context, std::unique_ptr<TcpStream> client,
                       absl::StatusOr<SocketAddress> original_destination);
  ~RedirectedConnection() override;

  void Start() override;
  absl::optional<std::string> Recheck() override;

 private:
  enum class State { kSniffing, kWaiting, kHandshaking, kCarrying };

  // Hears of the application's first word.
  struct ServerWatch final : ByteStream::Observer {
    explicit ServerWatch(RedirectedConnection* connection) : connection(connection) {}
    void OnReadable() override { connection->OnServerSpoke(); }
    void OnWritable() override {}
    RedirectedConnection* const connection;
  };

  // For whom there have to be sockets.
  Overload::Who Who() const;
  // Of a connection from `source` with the identity known so far.
  Decision Decide() const;
  // Whether plaintext may pass at present; else the decision says why.
  bool PlaintextMayPass(Decision* decision) const;
  // How the peer reaches this pod, as discovery knows.
  enum class Custom {
    kUnknown,
    kAnyhow,
    kDirectMtls,  // It will speak first, and a server must not be heard before it has.
  };
  Custom CustomOfPeer() const;
  void DialEagerly();
  // Without asking who it is.
  void DialUnproven();
  // Of a peer that speaks first; not for ever, for it may have left this port out of its mesh,
  // which discovery does not know.
  void AwaitFirstWord();
  void OnNoFirstWord();
  // It is one of the connections open, and has no place any more; false when that was one too many.
  bool Admit();

  void OnSniffed(Sniffer::Kind kind);
  // The first bytes have come, and are a part of a ClientHello.
  void OnUndecided();
  // The time for the first bytes, or for the turn, is over.
  void OnDeadline();
  // Of one that has to prove itself: waits on where there is room.
  void OnStillSilent();
  void ScheduleDeadline(absl::Duration from_since);
  void OnServerSpoke();
  void CarryPlaintext(Sniffer::Kind kind, bool server_first);
  void RefusePlaintext(Sniffer::Kind kind, const Decision& decision);

  // HandshakeTurns::Client:
  void LookAgain() override;
  void OnTurn() override;
  void OnEvicted() override;

  // False when there is no place in `line`.
  bool Join(HandshakeTurns* line);
  void LeaveLine();
  void AwaitTurn();
  void OnHandshake(absl::Status status);
  void RefuseHandshake(const absl::Status& status);

  void Dial();
  // While the application is dialled nobody reads what the client sends, or hears of its reset.
  void WatchClient();
  void OnClientWatch();
  void OnDialed(absl::StatusOr<std::unique_ptr<TcpStream>> stream);
  // Relays as soon as both sides are there.
  void MaybeRelay();

  absl::StatusOr<SocketAddress> kernel_destination_;
  State state_ = State::kSniffing;
  // A declared health probe, by its addresses.
  bool probe_ = false;
  // The application was dialled before it was known who is asking.
  bool eager_ = false;
  // A peer that speaks first has not failed to yet.
  bool patient_ = true;
  // The application has greeted, and that waits for the peer's first word.
  bool server_spoke_ = false;
  // The client's connection was gone when WatchClient looked last.
  bool client_lost_ = false;
  AppTarget target_;
  std::unique_ptr<TcpStream> client_;
  TcpStream* client_socket_ = nullptr;  // Owned by whatever wraps it.
  std::unique_ptr<Sniffer> sniffer_;
  std::unique_ptr<EventLoop::Timer> deadline_;
  // Where it has a place, direct_arrivals or direct_turns; null: nowhere.
  HandshakeTurns* line_ = nullptr;
  uint64_t place_ = 0;
  // When the deadline's time began.
  absl::Duration since_ = absl::ZeroDuration();
  std::shared_ptr<const IdentityInUse> identity_;
  PeerUsage::Share share_;  // Once there is a peer.
  std::unique_ptr<TlsStream> tls_;
  // The client's side, ready to be relayed.
  std::unique_ptr<ByteStream> downstream_;
  std::unique_ptr<AppDial> dial_;
  std::unique_ptr<TcpStream> app_;
  ServerWatch server_watch_{this};
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_REDIRECTED_H_
