#include "ctl/client_identity.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/base/file.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "common/crypto/certificate.h"
#include "common/crypto/private_key.h"
#include "ctl/table.h"

namespace byrnie {
namespace {

constexpr size_t kMaxFile = 1024 * 1024;
constexpr absl::string_view kBegin = "-----BEGIN PRIVATE KEY-----";
constexpr absl::string_view kEnd = "-----END PRIVATE KEY-----";

absl::Status InFile(absl::string_view flag, absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", path, ": ", what));
}

// The text between the marks, decoded; what it was decoded in is wiped.
absl::StatusOr<std::shared_ptr<const PrivateKey>> ParseKey(absl::string_view pem) {
  const size_t begin = pem.find(kBegin);
  const size_t end = pem.find(kEnd);
  const absl::Status none =
      absl::InvalidArgumentError("is no private key; give PKCS#8 in PEM (\"PRIVATE KEY\")");
  if (begin == pem.npos || end == pem.npos || end < begin) return none;
  const absl::string_view base64 = pem.substr(begin + kBegin.size(), end - begin - kBegin.size());
  std::string der;
  const bool decoded = absl::Base64Unescape(base64, &der);
  SecretBytes secret(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(der.data()), der.size()));
  WipeString(&der);
  if (!decoded) return none;
  absl::StatusOr<std::shared_ptr<const PrivateKey>> key = PrivateKey::FromPkcs8(secret);
  if (!key.ok()) return none;
  return key;
}

}  // namespace

absl::StatusOr<ControlPlaneClientIdentity> ReadClientIdentity(const std::string& cert_path,
                                                              const std::string& key_path,
                                                              absl::Time now) {
  if (cert_path.empty() || key_path.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--", cert_path.empty() ? "cert" : "key",
                                                   ": is missing; --cert and --key go together"));
  }
  const absl::StatusOr<std::string> pem = ReadFile(cert_path, kMaxFile);
  if (!pem.ok())
    return absl::InvalidArgumentError(absl::StrCat("--cert: ", pem.status().message()));
  absl::StatusOr<CertificateChain> chain = Certificate::ListFromPem(*pem);
  if (!chain.ok()) return InFile("cert", cert_path, chain.status().message());
  const absl::StatusOr<SecretBytes> file = ReadSecretFile(key_path, kMaxFile);
  if (!file.ok())
    return absl::InvalidArgumentError(absl::StrCat("--key: ", file.status().message()));
  absl::StatusOr<std::shared_ptr<const PrivateKey>> key = ParseKey(file->view());
  if (!key.ok()) return InFile("key", key_path, key.status().message());
  if (chain->empty() || !chain->front()->MatchesKey(**key)) {
    return InFile("key", key_path,
                  absl::StrCat("is not the key of the certificate in ", cert_path));
  }
  // The control plane would end the handshake, which looks as if it were not there.
  const absl::Time end = chain->front()->not_after();
  if (end <= now) {
    return absl::UnauthenticatedError(
        absl::StrCat("--cert: ended ", ShortDuration(now - end), " ago: ", cert_path,
                     "; give one that is valid now, or a token with --token"));
  }
  return ControlPlaneClientIdentity{*std::move(chain), *std::move(key)};
}

}  // namespace byrnie
