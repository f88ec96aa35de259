#include "certagent/istio_messages.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

// More than any verifier accepts, less than what is worth parsing.
constexpr size_t kMaxChain = 8;

absl::StatusOr<std::vector<CertificatePtr>> ParseElement(
    const istio::v1::auth::IstioCertificateResponse& response, int index) {
  absl::StatusOr<std::vector<CertificatePtr>> certificates =
      Certificate::ListFromPem(response.cert_chain(index));
  if (certificates.ok()) return certificates;
  return absl::InvalidArgumentError(
      absl::StrCat("the authority's cert_chain[", index, "]: ", certificates.status().message()));
}

}  // namespace

absl::StatusOr<IstioCertificate> ParseIstioResponse(
    const istio::v1::auth::IstioCertificateResponse& response) {
  const int elements = response.cert_chain_size();
  if (elements < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("the authority sent a cert_chain of ", elements,
                     " elements; there must be a leaf and, last, the roots"));
  }
  IstioCertificate parsed;
  for (int i = 0; i + 1 < elements; ++i) {
    ASSIGN_OR_RETURN(std::vector<CertificatePtr> certificates, ParseElement(response, i));
    parsed.chain.insert(parsed.chain.end(), certificates.begin(), certificates.end());
    if (parsed.chain.size() > kMaxChain) {
      return absl::InvalidArgumentError(
          absl::StrCat("the authority sent a chain of more than ", kMaxChain, " certificates"));
    }
  }
  ASSIGN_OR_RETURN(parsed.roots, ParseElement(response, elements - 1));
  std::sort(parsed.roots.begin(), parsed.roots.end(),
            [](const CertificatePtr& a, const CertificatePtr& b) { return a->der() < b->der(); });
  parsed.roots.erase(std::unique(parsed.roots.begin(), parsed.roots.end(),
                                 [](const CertificatePtr& a, const CertificatePtr& b) {
                                   return a->der() == b->der();
                                 }),
                     parsed.roots.end());
  return parsed;
}

std::string CsrToPem(absl::string_view der) {
  const std::string base64 = absl::Base64Escape(der);
  std::string pem = "-----BEGIN CERTIFICATE REQUEST-----\n";
  for (size_t offset = 0; offset < base64.size(); offset += 64) {
    absl::StrAppend(&pem, absl::string_view(base64).substr(offset, 64), "\n");
  }
  return absl::StrCat(pem, "-----END CERTIFICATE REQUEST-----\n");
}

absl::Status ExplainIstioError(absl::Status status, absl::Duration ttl) {
  const bool about_life = absl::IsInvalidArgument(status) && ttl > absl::ZeroDuration() &&
                          (absl::StrContains(status.message(), "TTL") ||
                           absl::StrContains(status.message(), "alidity"));
  if (!about_life) return status;
  return absl::InvalidArgumentError(absl::StrCat(status.message(),
                                                 "; lower --certificate_ttl, which is ",
                                                 absl::FormatDuration(ttl), ", or leave it out"));
}

}  // namespace byrnie
