#include "controlplane/webhook/server_tls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/certificate.h"
#include "common/crypto/private_key.h"

namespace byrnie {

absl::StatusOr<std::shared_ptr<const TlsContext>> ServerTls::Current() {
  const std::shared_ptr<const ServerIdentity::Snapshot> identity = identity_->current();
  if (context_ != nullptr && identity->generation == generation_) return context_;
  absl::StatusOr<std::shared_ptr<const TlsContext>> next = Make(*identity);
  if (!next.ok()) {
    return absl::InternalError(
        absl::StrCat("cannot use the server's certificate: ", next.status().message()));
  }
  context_ = *std::move(next);
  generation_ = identity->generation;
  return context_;
}

absl::StatusOr<std::shared_ptr<const TlsContext>> ServerTls::Make(
    const ServerIdentity::Snapshot& identity) {
  ASSIGN_OR_RETURN(const CertificateChain chain, Certificate::ListFromPem(identity.chain_pem));
  ASSIGN_OR_RETURN(std::shared_ptr<const PrivateKey> key, PrivateKey::FromPem(identity.key_pem));
  signer_.Use(chain.front()->FingerprintHex(), std::move(key));
  return TlsContext::CreateForAnonymousClients("http/1.1", chain, &signer_);
}

}  // namespace byrnie
