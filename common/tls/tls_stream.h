#ifndef BYRNIE_COMMON_TLS_TLS_STREAM_H_
#define BYRNIE_COMMON_TLS_TLS_STREAM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/event/event_loop.h"
#include "common/identity/svid_verifier.h"
#include "common/net/buffer_budget.h"
#include "common/net/byte_stream.h"
#include "common/net/scratch_pool.h"
#include "common/tls/tls_context.h"

namespace byrnie {

// What the two ends agreed on, for logs and admin pages.
struct TlsSessionInfo {
  std::string version;  // "TLSv1.3"
  std::string cipher;   // "TLS_AES_128_GCM_SHA256"
  std::string group;    // "X25519MLKEM768"
  std::string alpn;
};

// TLS 1.3 (RFC 8446) with mutual X509-SVID authentication, as a ByteStream over another ByteStream.
// Lives on one loop. States: handshaking → open → closed or broken. Until the handshake is done
// Read and Write give kWouldBlock: no application byte moves before the peer is verified.
//
// The peer's certificate is verified with the context's bundles at the wall-clock time of the
// handshake. An end of the transport without close_notify is kError with DataLoss, never kEof (RFC
// 8446 section 6.1). Read gives kError after kEof when the connection breaks later, as TcpStream
// does. The input of a burst is held in memory only until it has been read; an idle stream holds no
// buffer.
class TlsStream final : public ByteStream {
 public:
  struct Options {
    // Who the peer may be; empty: anyone of our own trust domain.
    std::vector<SpiffeId> allowed_peers;
    // With no `allowed_peers`: anyone of any trust domain there is a bundle for. For servers that
    // ask policies afterwards.
    bool federated = false;
    absl::Duration handshake_timeout = absl::Seconds(5);
    // Of what is held on its way in and out. May be null: no limit. Not owned; outlives the stream.
    BufferBudget* budget = nullptr;
    // Where what comes and goes within an event is. May be null: smaller memory of the stream's
    // own. Not owned; outlives the stream.
    ScratchPool* scratch = nullptr;
    // Records that are sealed with one key before the next takes its place (KeyUpdate): half of
    // what AES-GCM may seal by RFC 8446 section 5.5 and more, some 190 GB.
    uint64_t records_per_key = uint64_t{1} << 23;
  };
  // Runs once, in a later turn: OK; Unauthenticated (the peer is not who it must be, see
  // IsIdentityMismatch, or refused us; says which and why); DeadlineExceeded; Unavailable
  // (transport or signer lost); PermissionDenied (the signer refuses). May destroy the stream. With
  // TLS 1.3 a client is done before the server has judged its certificate: a refusal comes as
  // kError of Read, with an Unauthenticated error().
  using HandshakeCallback = absl::AnyInvocable<void(absl::Status)>;

  // Takes over `transport` and starts the handshake.
  static std::unique_ptr<TlsStream> Create(EventLoop* loop, std::unique_ptr<ByteStream> transport,
                                           std::shared_ptr<const TlsContext> context,
                                           Options options, HandshakeCallback on_handshake);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;
  ~TlsStream() override;

  void SetObserver(Observer* observer) override;
  IoResult Read(absl::Span<uint8_t> buffer) override;
  IoResult Write(absl::Span<const uint8_t> data) override;
  // The transport's.
  size_t Room() const override;
  void ShutdownWrite() override;
  void Reset() override;
  // `code` is an EndCode; the peer is told by a fatal alert, where one means the same.
  void ResetWith(uint32_t code) override;
  bool Flushed() const override;
  uint64_t Undelivered() const override;
  // The transport's.
  absl::Duration Unheard() const override;
  absl::Duration ShortestRoundTrip() const override;
  void ShortenKeepalive() override;
  // Also once the transport is lost, unless this side has ended: a peer that has closed may answer
  // our end with a reset.
  bool Lost() const override;
  void HearOfLoss(bool hears) override;
  absl::Status error() const override;

  // Tells the verified peer that it may not go on, with the fatal alert access_denied (RFC 8446
  // section 6.2), and ends both directions; the stream is broken then, with PermissionDenied. Not
  // during the handshake, and nothing once the stream has been ended or broken.
  void DenyAccess();

  // The handshake stands still for want of our own signature, not of the peer.
  bool waits_for_signer() const;

  // Valid once the handshake is done, and of a context that TlsContext::Create made.
  const VerifiedSvid& peer() const;
  // The certificates that prove it, as the peer sent them, leaf first, for judging it again when
  // the trust bundles change. Kept parsed, a few KiB each, as long as the stream or a copy lives.
  const CertificateChain& peer_chain() const;
  const TlsSessionInfo& session() const;
  const TlsContext& context() const;
  // How many keys have sealed what was sent, one after the other.
  uint64_t sending_keys() const;
  // The transport, still owned by the stream: for addresses.
  const ByteStream& transport() const;
  // Memory held for ciphertext on its way in and out: zero while nothing is on its way, bounded,
  // and less while the budget is short.
  size_t buffered_bytes() const;

 private:
  class Impl;
  explicit TlsStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TLS_STREAM_H_
