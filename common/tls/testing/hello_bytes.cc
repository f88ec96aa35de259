#include "common/tls/testing/hello_bytes.h"

#include <cstdint>

#include "common/base/check.h"
#include "openssl/ssl.h"

namespace byrnie {

std::string HelloBytes(const std::vector<std::string>& alpn, const std::string& server_name,
                       bool grease) {
  constexpr uint16_t kGroups[] = {SSL_GROUP_X25519_MLKEM768, SSL_GROUP_X25519};
  bssl::UniquePtr<SSL_CTX> ctx(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_grease_enabled(ctx.get(), grease ? 1 : 0);
  CHECK(SSL_CTX_set1_group_ids(ctx.get(), kGroups, 2));
  bssl::UniquePtr<SSL> ssl(SSL_new(ctx.get()));
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  std::string list;
  for (const std::string& protocol : alpn) {
    list.push_back(static_cast<char>(protocol.size()));
    list += protocol;
  }
  CHECK(SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const uint8_t*>(list.data()),
                            list.size()) == 0);
  if (!server_name.empty()) CHECK(SSL_set_tlsext_host_name(ssl.get(), server_name.c_str()));
  SSL_set_connect_state(ssl.get());
  SSL_do_handshake(ssl.get());
  std::string bytes(64 * 1024, '\0');
  const int size = BIO_read(SSL_get_wbio(ssl.get()), &bytes[0], static_cast<int>(bytes.size()));
  CHECK(size > 0);
  bytes.resize(static_cast<size_t>(size));
  return bytes;
}

std::string InRecord(absl::string_view content) {
  std::string record = "\x16\x03\x01";
  record.push_back(static_cast<char>(content.size() >> 8));
  record.push_back(static_cast<char>(content.size() & 0xff));
  record.append(content.data(), content.size());
  return record;
}

std::string Refragment(absl::string_view records, size_t size) {
  std::string content;
  while (records.size() >= 5) {
    const size_t length = static_cast<size_t>(static_cast<uint8_t>(records[3])) << 8 |
                          static_cast<uint8_t>(records[4]);
    content.append(records.substr(5, length).data(), records.substr(5, length).size());
    records.remove_prefix(5 + records.substr(5, length).size());
  }
  std::string result;
  for (size_t at = 0; at < content.size(); at += size) {
    result += InRecord(absl::string_view(content).substr(at, size));
  }
  return result;
}

}  // namespace byrnie
