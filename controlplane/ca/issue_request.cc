#include "controlplane/ca/issue_request.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/pem.h"
#include "controlplane/proto/time_conversion.h"

namespace byrnie {
namespace {

// More than VerifyCsr takes is not decoded.
constexpr size_t kMaxPem = 32 * 1024;

// A text of the metadata; empty when it is not there. InvalidArgument when it is no text: what it
// is to mean nobody knows.
absl::StatusOr<std::string> Metadata(const istio::v1::auth::IstioCertificateRequest& request,
                                     const char* name) {
  const auto found = request.metadata().fields().find(name);
  if (found == request.metadata().fields().end()) return std::string();
  if (found->second.kind_case() == google::protobuf::Value::kStringValue) {
    return found->second.string_value();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("metadata: ", name, " is not a string; give one, or leave it out"));
}

// As certtool and old releases of OpenSSL name it (RFC 7468 section 7).
constexpr char kLabel[] = "CERTIFICATE REQUEST", kOldLabel[] = "NEW CERTIFICATE REQUEST";

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
  ASSIGN_OR_RETURN(const std::string impersonated, Metadata(request, "ImpersonatedIdentity"));
  if (!impersonated.empty() && impersonated != caller.text()) {
    return absl::PermissionDeniedError(absl::StrCat(
        caller.text(), " asks for a certificate of somebody else; only its own is given"));
  }
  ASSIGN_OR_RETURN(const std::string signer, Metadata(request, "CertSigner"));
  if (!signer.empty()) {
    return absl::InvalidArgumentError(
        "a CertSigner is asked for; there is one authority, leave it out");
  }
  const bool old_label = absl::StrContains(request.csr(), absl::StrCat("BEGIN ", kOldLabel));
  ASSIGN_OR_RETURN(
      std::vector<std::string> csrs,
      ParsePem(request.csr(), old_label ? kOldLabel : kLabel, "certificate request", kMaxPem));
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
