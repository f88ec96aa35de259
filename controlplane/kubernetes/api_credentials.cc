#include "controlplane/kubernetes/api_credentials.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/crypto/certificate.h"
#include "common/crypto/client_key.h"

namespace byrnie {
namespace {

constexpr size_t kMaxCa = 1024 * 1024;
constexpr size_t kMaxToken = 64 * 1024;

// What may stand in a header field (RFC 9110 section 5.5), without the white space around it. RFC
// 6750 knows fewer letters, but what gives tokens out does not always keep to it: Rancher's have a
// colon.
absl::StatusOr<SecretBytes> CheckToken(const SecretBytes& text) {
  const absl::string_view token = absl::StripAsciiWhitespace(text.view());
  const bool good = !token.empty() && std::all_of(token.begin(), token.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  if (!good) return absl::InvalidArgumentError("it is empty, or no bearer token");
  return SecretBytes(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(token.data()), token.size()));
}

// Of a system's store: those that are understood, whatever is said between them. As Go's x509 reads
// it, and so kubectl.
std::vector<CertificatePtr> CertificatesAmong(absl::string_view text) {
  constexpr absl::string_view kBegin = "-----BEGIN CERTIFICATE-----",
                              kEnd = "-----END CERTIFICATE-----";
  std::vector<CertificatePtr> found;
  while (true) {
    const size_t begin = text.find(kBegin);
    if (begin == absl::string_view::npos) return found;
    text.remove_prefix(begin);
    const size_t end = text.find(kEnd);
    if (end == absl::string_view::npos) return found;
    absl::StatusOr<std::vector<CertificatePtr>> one =
        Certificate::ListFromPem(text.substr(0, end + kEnd.size()));
    text.remove_prefix(end + kEnd.size());
    if (one.ok() && one->size() == 1) found.push_back(std::move(one->front()));
  }
}

absl::StatusOr<TlsClientCertificate> LoadClientCertificate(const ApiServer& server) {
  std::string chain = server.client_chain_pem;
  if (chain.empty()) {
    ASSIGN_OR_RETURN(chain, ReadFile(server.client_chain_file, kMaxCa));
  }
  TlsClientCertificate client;
  absl::StatusOr<CertificateChain> parsed = Certificate::ListFromPem(chain);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the client certificate: ", parsed.status().message()));
  }
  client.chain = *std::move(parsed);
  SecretBytes key = server.client_key_pem.Clone();
  if (key.empty()) {
    ASSIGN_OR_RETURN(key, ReadSecretFile(server.client_key_file, kMaxCa));
  }
  ASSIGN_OR_RETURN(client.key, ClientKey::FromPem(key));
  return client;
}

}  // namespace

ApiCredentials::ApiCredentials(ApiServer server, Logger* logger)
    : server_(std::move(server)), logger_(logger) {}

template <typename Load>
void ApiCredentials::Follow(const std::string& path, Follower* follower, Load load) {
  const absl::optional<FileFingerprint> now =
      path.empty() ? absl::nullopt : TakeFileFingerprint(path);
  // What failed is tried again: it need not be the file's fault.
  if (follower->tried && follower->status.ok() && now == follower->seen) return;
  follower->tried = true;
  follower->seen = now;
  const absl::Status before = std::exchange(follower->status, load());
  if (follower->status.ok() || follower->status == before) return;
  logger_->Error("what the API server is reached with cannot be read, what was read before stays",
                 {{"path", path}, {"error", follower->status.message()}});
}

absl::Status ApiCredentials::LoadContext(const std::string& pem) {
  std::vector<CertificatePtr> roots;
  if (server_.system_roots) {
    roots = CertificatesAmong(pem);
  } else {
    ASSIGN_OR_RETURN(roots, Certificate::ListFromPem(pem));
  }
  if (roots.empty()) return absl::InvalidArgumentError("it has no certificate");
  TlsClientCertificate client;
  if (server_.HasClientCertificate()) {
    ASSIGN_OR_RETURN(client, LoadClientCertificate(server_));
  }
  ASSIGN_OR_RETURN(context_, TlsContext::CreateForNamedServer(
                                 "http/1.1", NamedServer{server_.server_name, std::move(roots)},
                                 std::move(client)));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const TlsContext>> ApiCredentials::Context() {
  Follow(server_.ca_file, &ca_, [this]() -> absl::Status {
    if (server_.ca_file.empty()) return LoadContext(server_.ca_pem);
    ASSIGN_OR_RETURN(std::string pem, ReadFile(server_.ca_file, kMaxCa));
    return LoadContext(pem);
  });
  if (context_ == nullptr) return ca_.status;
  return context_;
}

absl::StatusOr<absl::string_view> ApiCredentials::Token() {
  if (server_.HasClientCertificate() && !server_.HasToken()) return absl::string_view();
  Follow(server_.token_file, &token_follower_, [this]() -> absl::Status {
    if (server_.token_file.empty()) {
      ASSIGN_OR_RETURN(token_, CheckToken(server_.token));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(SecretBytes text, ReadSecretFile(server_.token_file, kMaxToken));
    ASSIGN_OR_RETURN(token_, CheckToken(text));
    return absl::OkStatus();
  });
  if (token_.empty()) return token_follower_.status;
  return token_.view();
}

}  // namespace byrnie
