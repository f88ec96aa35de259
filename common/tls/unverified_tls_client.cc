#include "common/tls/unverified_tls_client.h"

#include <utility>

#include "common/base/status_macros.h"

namespace byrnie {

absl::StatusOr<UnverifiedTlsClient> UnverifiedTlsClient::Create(std::string alpn) {
  ASSIGN_OR_RETURN(std::shared_ptr<const TlsContext> context,
                   TlsContext::CreateForUnknownServer(std::move(alpn)));
  return UnverifiedTlsClient(std::move(context));
}

UnverifiedTlsClient::UnverifiedTlsClient(std::shared_ptr<const TlsContext> context)
    : context_(std::move(context)) {}

std::unique_ptr<ByteStream> UnverifiedTlsClient::Start(
    EventLoop* loop, std::unique_ptr<ByteStream> transport, absl::Duration timeout,
    TlsStream::HandshakeCallback on_handshake) const {
  TlsStream::Options options;
  options.handshake_timeout = timeout;
  return TlsStream::Create(loop, std::move(transport), context_, std::move(options),
                           std::move(on_handshake));
}

}  // namespace byrnie
