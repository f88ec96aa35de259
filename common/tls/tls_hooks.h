#ifndef BYRNIE_COMMON_TLS_TLS_HOOKS_H_
#define BYRNIE_COMMON_TLS_TLS_HOOKS_H_

#include <cstddef>
#include <cstdint>

#include "openssl/ssl.h"

namespace byrnie {

// What an SSL made of a TlsContext asks of the connection that owns it, which has put itself there
// with SSL_set_app_data(ssl, static_cast<TlsHooks*>(this)) before the handshake. Called inside
// SSL_do_handshake and SSL_read. For common/tls alone.
class TlsHooks {
 public:
  virtual ~TlsHooks() = default;

  // Judges the peer's certificates; on ssl_verify_invalid sets the alert for the peer.
  virtual ssl_verify_result_t VerifyPeer(uint8_t* out_alert) = 0;
  // As SSL_PRIVATE_KEY_METHOD.
  virtual ssl_private_key_result_t StartSign(uint16_t scheme, const uint8_t* in, size_t size) = 0;
  virtual ssl_private_key_result_t CompleteSign(uint8_t* out, size_t* out_size, size_t max_out) = 0;
  // The peer has sent a KeyUpdate.
  virtual void OnKeyUpdate() = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TLS_HOOKS_H_
