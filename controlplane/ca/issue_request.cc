#include "controlplane/ca/issue_request.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/pem.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {
namespace {

// More than VerifyCsr takes is not decoded.
constexpr size_t kMaxPem = 32 * 1024;

// A text of the metadata; empty when it is not there or of another type.
const std::string& Metadata(const istio::v1::auth::IstioCertificateRequest& request,
                            const char* name) {
  static const std::string* const kNone = new std::string;
  const auto found = request.metadata().fields().find(name);
  return found == request.metadata().fields().end() ? *kNone : found->second.string_value();
}

}  // namespace

absl::StatusOr<CertificateRequest> ReadIssueRequest(const byrnie::ca::v1::IssueRequest& request) {
  CertificateRequest read{request.csr(), absl::nullopt};
  if (request.has_ttl()) {
    ASSIGN_OR_RETURN(read.ttl, FromProto(request.ttl()));
  }
  return read;
}

absl::StatusOr<CertificateRequest> ReadIstioRequest(
    const istio::v1::auth::IstioCertificateRequest& request, const SpiffeId& caller) {
  const std::string& impersonated = Metadata(request, "ImpersonatedIdentity");
  if (!impersonated.empty() && impersonated != caller.text()) {
    return absl::PermissionDeniedError(absl::StrCat(
        caller.text(), " asks for a certificate of somebody else; only its own is given"));
  }
  if (!Metadata(request, "CertSigner").empty()) {
    return absl::InvalidArgumentError(
        "a CertSigner is asked for; there is one authority, leave it out");
  }
  ASSIGN_OR_RETURN(std::vector<std::string> csrs,
                   ParsePem(request.csr(), "CERTIFICATE REQUEST", "certificate request", kMaxPem));
  if (csrs.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(csrs.size(), " certificate requests instead of one"));
  }
  CertificateRequest read{std::move(csrs.front()), absl::nullopt};
  // 0 is not set. What is not positive Issuance refuses.
  if (request.validity_duration() != 0) read.ttl = absl::Seconds(request.validity_duration());
  return read;
}

}  // namespace byrnie
