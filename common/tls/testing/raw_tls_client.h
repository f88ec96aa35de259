#ifndef BYRNIE_COMMON_TLS_TESTING_RAW_TLS_CLIENT_H_
#define BYRNIE_COMMON_TLS_TESTING_RAW_TLS_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "common/crypto/private_key.h"
#include "common/net/byte_stream.h"
#include "common/tls/testing/test_ca.h"
#include "openssl/ssl.h"

namespace byrnie {

// A TLS client of plain BoringSSL that trusts everybody, for what our own streams never do: it may
// have no certificate, or too many, and its session is open to the test.
class RawTlsClient {
 public:
  explicit RawTlsClient(std::unique_ptr<ByteStream> transport);

  // Presents `identity`, all of its chain; before Begin.
  void Use(const TestIdentity& identity);
  // Starts with the ALPN protocol "test", or with none.
  void Begin(bool with_alpn = true);
  // Moves what can be moved now: bytes in, the handshake, bytes out.
  void Pump();

  SSL_CTX* context() const { return ctx_.get(); }
  SSL* ssl() const { return ssl_.get(); }
  ByteStream* transport() const { return transport_.get(); }
  // Session tickets received.
  int tickets() const { return tickets_; }
  // The secret that our application records are protected with (RFC 8446 section 7.1), once agreed.
  const std::string& write_secret() const { return write_secret_; }

 private:
  std::unique_ptr<ByteStream> transport_;
  std::shared_ptr<const PrivateKey> key_;  // The context signs with it.
  bssl::UniquePtr<SSL_CTX> ctx_;
  bssl::UniquePtr<SSL> ssl_;
  int tickets_ = 0;
  std::string write_secret_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TESTING_RAW_TLS_CLIENT_H_
