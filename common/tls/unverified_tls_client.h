#ifndef BYRNIE_COMMON_TLS_UNVERIFIED_TLS_CLIENT_H_
#define BYRNIE_COMMON_TLS_UNVERIFIED_TLS_CLIENT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/net/byte_stream.h"
#include "common/tls/tls_context.h"
#include "common/tls/tls_stream.h"

namespace byrnie {

// TLS to a server whose certificate nobody looks at: what is sent is no secret, and nothing that
// comes is believed. That is a health probe, which asks whether somebody answers, as the kubelet's
// does; never use it for anything else. TLS 1.2 and ALPN as TlsContext::CreateForNamedServer's, no
// name, no certificate of its own. A value, thread-safe.
//
// Its context is nobody else's, and what it makes is no TlsStream, so that nothing of the mesh,
// which asks for the one or the other, can be given an unverified one.
class UnverifiedTlsClient {
 public:
  // InvalidArgument for an ALPN protocol that is not 1 to 255 bytes.
  static absl::StatusOr<UnverifiedTlsClient> Create(std::string alpn);

  // Takes over `transport` and starts the handshake, which may take `timeout`; `on_handshake` as
  // TlsStream::Create's.
  std::unique_ptr<ByteStream> Start(EventLoop* loop, std::unique_ptr<ByteStream> transport,
                                    absl::Duration timeout,
                                    TlsStream::HandshakeCallback on_handshake) const;

 private:
  explicit UnverifiedTlsClient(std::shared_ptr<const TlsContext> context);

  std::shared_ptr<const TlsContext> context_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_UNVERIFIED_TLS_CLIENT_H_
