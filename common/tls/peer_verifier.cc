#include "common/tls/peer_verifier.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock_offset.h"
#include "common/tls/handshake_fault.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

uint8_t AlertFor(SvidDefect defect) {
  switch (defect) {
    case SvidDefect::kUnknownIssuer:
      return SSL_AD_UNKNOWN_CA;
    case SvidDefect::kExpired:
    case SvidDefect::kNotYetValid:
      return SSL_AD_CERTIFICATE_EXPIRED;
    case SvidDefect::kRevoked:
      return SSL_AD_CERTIFICATE_REVOKED;
    case SvidDefect::kRevocationUnknown:
      return SSL_AD_CERTIFICATE_UNKNOWN;
    case SvidDefect::kNone:
    case SvidDefect::kMalformed:
      break;
  }
  return SSL_AD_BAD_CERTIFICATE;
}

absl::Status CheckAllowed(const SpiffeId& peer, const IdentitySnapshot& own,
                          const std::vector<SpiffeId>& allowed, bool federated) {
  if (allowed.empty()) {
    if (federated || peer.trust_domain() == own.id().trust_domain()) return absl::OkStatus();
    return absl::UnauthenticatedError(
        absl::StrCat("peer is ", peer.text(), ", not of trust domain ", own.id().trust_domain()));
  }
  if (std::find(allowed.begin(), allowed.end(), peer) != allowed.end()) return absl::OkStatus();
  return IdentityMismatchError(absl::StrCat(
      "peer is ", peer.text(), ", expected ", allowed.front().text(),
      allowed.size() > 1 ? absl::StrCat(" or one of ", allowed.size() - 1, " more") : ""));
}

}  // namespace

absl::StatusOr<ProvenPeer> VerifyPeer(const STACK_OF(CRYPTO_BUFFER) * presented,
                                      const IdentitySnapshot& own,
                                      const std::vector<SpiffeId>& allowed_peers, bool federated,
                                      absl::Time now, CertificateCache* known, VerifiedPaths* paths,
                                      uint8_t* alert) {
  *alert = SSL_AD_BAD_CERTIFICATE;
  CertificateChain chain;
  const size_t count = presented == nullptr ? 0 : sk_CRYPTO_BUFFER_num(presented);
  // Refused before anything is parsed: parsing is what a hostile chain would make us pay for.
  if (count > kMaxSvidChain) {
    return absl::UnauthenticatedError(absl::StrCat(
        "peer presented ", count, " certificates; at most ", kMaxSvidChain, " are taken"));
  }
  for (size_t i = 0; i < count; ++i) {
    const CRYPTO_BUFFER* buffer = sk_CRYPTO_BUFFER_value(presented, i);
    absl::StatusOr<CertificatePtr> certificate = known->FromDer(absl::string_view(
        reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer)), CRYPTO_BUFFER_len(buffer)));
    if (!certificate.ok()) {
      return absl::UnauthenticatedError(
          absl::StrCat("certificate ", i + 1, " of the peer: ", certificate.status().message()));
    }
    chain.push_back(*std::move(certificate));
  }
  SvidDefect defect;
  absl::StatusOr<VerifiedSvid> svid = VerifySvid(chain, own.bundles(), now, &defect, paths);
  if (!svid.ok()) {
    *alert = AlertFor(defect);
    const bool about_time = defect == SvidDefect::kExpired || defect == SvidDefect::kNotYetValid;
    const std::string hint = about_time ? ClockOffsetHint(own.clock_offset()) : "";
    return WithDefect(
        absl::Status(svid.status().code(), absl::StrCat("peer: ", svid.status().message(),
                                                        hint.empty() ? "" : "; ", hint)),
        defect);
  }
  const absl::Status allowed = CheckAllowed(svid->id, own, allowed_peers, federated);
  if (!allowed.ok()) {
    *alert = SSL_AD_ACCESS_DENIED;
    return allowed;
  }
  return ProvenPeer{*std::move(svid), std::move(chain)};
}

}  // namespace byrnie
