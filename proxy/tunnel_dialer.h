#ifndef BYRNIE_PROXY_TUNNEL_DIALER_H_
#define BYRNIE_PROXY_TUNNEL_DIALER_H_

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/random/random.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/certificate.h"
#include "common/event/event_loop.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/svid_verifier.h"
#include "common/net/buffer_budget.h"
#include "common/net/byte_stream.h"
#include "common/net/scratch_pool.h"
#include "common/net/socket_address.h"
#include "common/tls/tls_context.h"
#include "common/tls/tls_stream.h"
#include "proxy/overload.h"
#include "proxy/proxy_config.h"
#include "proxy/proxy_metrics.h"

namespace byrnie {

// Where a tunnel ends and who may be there.
struct TunnelTarget {
  // The peer's HBONE port.
  SocketAddress address;
  // Sorted, never empty: a tunnel to "anyone" is never made.
  std::vector<SpiffeId> allowed_peers;
  // For the sake of the handshake, by which open connections live on (Overload::Who::kProof).
  bool for_proof = false;
};

// Makes authenticated transports for tunnels. Lives on one loop.
class TunnelDialer {
 public:
  struct Transport {
    std::unique_ptr<ByteStream> stream;
    VerifiedSvid peer;
    TlsSessionInfo session;
    CertificateChain peer_chain = {};
    // The loop's time when TCP was connected; zero: not known.
    absl::Duration dialled_at = absl::ZeroDuration();
    // Its socket is of those that are for handshakes alone: to be given back soon.
    bool past_limit = false;
  };
  // An attempt under way; destroying it abandons the attempt and its callback does not run.
  class Attempt {
   public:
    virtual ~Attempt() = default;
    // It is the other end that keeps it waiting, not this proxy's signer.
    virtual bool WaitsForPeer() const { return true; }
  };
  using Callback = absl::AnyInvocable<void(absl::StatusOr<Transport>)>;

  virtual ~TunnelDialer() = default;

  // Connects and shakes hands with `context`. `done` runs once in a later turn and may destroy the
  // attempt: Unavailable (not reachable, no signature), Unauthenticated (the peer is not one of the
  // allowed, or refused us), DeadlineExceeded, ResourceExhausted (out of descriptors).
  virtual std::unique_ptr<Attempt> Dial(const TunnelTarget& target,
                                        std::shared_ptr<const TlsContext> context,
                                        Callback done) = 0;
};

// The real one: TCP, then TLS.
class TlsTunnelDialer final : public TunnelDialer {
 public:
  // `overload`, which is asked about each socket, `budget` and `scratch`, which may be null,
  // `metrics` and `random` outlive this and the transports it makes; `config` this.
  TlsTunnelDialer(EventLoop* loop, const ProxyConfig* config, BufferBudget* budget,
                  ScratchPool* scratch, const Overload* overload, const ProxyMetrics* metrics,
                  absl::InsecureBitGen* random)
      : loop_(loop),
        config_(config),
        budget_(budget),
        scratch_(scratch),
        overload_(overload),
        metrics_(metrics),
        random_(random) {}

  std::unique_ptr<Attempt> Dial(const TunnelTarget& target,
                                std::shared_ptr<const TlsContext> context, Callback done) override;

 private:
  EventLoop* const loop_;               // Not owned.
  const ProxyConfig* const config_;     // Not owned.
  BufferBudget* const budget_;          // Not owned.
  ScratchPool* const scratch_;          // Not owned.
  const Overload* const overload_;      // Not owned.
  const ProxyMetrics* const metrics_;   // Not owned.
  absl::InsecureBitGen* const random_;  // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_TUNNEL_DIALER_H_
