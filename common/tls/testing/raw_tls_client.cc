#include "common/tls/testing/raw_tls_client.h"

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"

namespace byrnie {

RawTlsClient::RawTlsClient(std::unique_ptr<ByteStream> transport)
    : transport_(std::move(transport)), ctx_(SSL_CTX_new(TLS_method())) {
  SSL_CTX_set_custom_verify(ctx_.get(), SSL_VERIFY_PEER,
                            [](SSL*, uint8_t*) { return ssl_verify_ok; });
  SSL_CTX_set_msg_callback(
      ctx_.get(), [](int is_write, int, int type, const void* buf, size_t, SSL* ssl, void*) {
        if (!is_write && type == SSL3_RT_HANDSHAKE &&
            static_cast<const uint8_t*>(buf)[0] == SSL3_MT_NEW_SESSION_TICKET) {
          ++static_cast<RawTlsClient*>(SSL_get_app_data(ssl))->tickets_;
        }
      });
  SSL_CTX_set_keylog_callback(ctx_.get(), [](const SSL* ssl, const char* line) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() == 3 && words[0] == "CLIENT_TRAFFIC_SECRET_0") {
      static_cast<RawTlsClient*>(SSL_get_app_data(ssl))->write_secret_ =
          absl::HexStringToBytes(words[2]);
    }
  });
}

void RawTlsClient::Use(const TestIdentity& identity) {
  key_ = identity.key;
  CHECK(SSL_CTX_use_certificate(ctx_.get(), identity.chain[0]->native()));
  CHECK(SSL_CTX_use_PrivateKey(ctx_.get(), key_->native()));
  for (size_t i = 1; i < identity.chain.size(); ++i) {
    CHECK(SSL_CTX_add1_chain_cert(ctx_.get(), identity.chain[i]->native()));
  }
}

void RawTlsClient::Begin(bool with_alpn) {
  ssl_.reset(SSL_new(ctx_.get()));
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  if (with_alpn) SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const uint8_t*>("\4test"), 5);
  SSL_set_connect_state(ssl_.get());
}

void RawTlsClient::Pump() {
  uint8_t buffer[16384];
  for (IoResult r = transport_->Read(absl::MakeSpan(buffer)); r.bytes > 0;
       r = transport_->Read(absl::MakeSpan(buffer))) {
    BIO_write(SSL_get_rbio(ssl_.get()), buffer, static_cast<int>(r.bytes));
  }
  if (SSL_in_init(ssl_.get())) SSL_do_handshake(ssl_.get());
  if (!SSL_in_init(ssl_.get())) SSL_read(ssl_.get(), buffer, sizeof(buffer));
  int size;
  while ((size = BIO_read(SSL_get_wbio(ssl_.get()), buffer, sizeof(buffer))) > 0) {
    transport_->Write(absl::MakeConstSpan(buffer, static_cast<size_t>(size)));
  }
}

}  // namespace byrnie
