#include "common/crypto/client_key.h"

#include "absl/status/status.h"
#include "common/crypto/ssl_error.h"
#include "openssl/bio.h"
#include "openssl/evp.h"
#include "openssl/pem.h"

namespace byrnie {
namespace {

// Nobody is asked for a password: without this the library would, at the terminal.
int NoPassword(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return 0; }

}  // namespace

ClientKey::~ClientKey() = default;

absl::StatusOr<std::shared_ptr<const ClientKey>> ClientKey::FromPem(const SecretBytes& pem) {
  const bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.span().data(), static_cast<ossl_ssize_t>(pem.size())));
  std::shared_ptr<ClientKey> made(new ClientKey);
  if (bio) made->key_.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  if (made->key_) return made;
  return SslError(absl::StatusCode::kInvalidArgument, "no unencrypted private key in PEM");
}

}  // namespace byrnie
