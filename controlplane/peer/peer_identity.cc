#include "controlplane/peer/peer_identity.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/certificate.h"
#include "common/identity/revocation.h"
#include "common/identity/svid_root.h"
#include "common/identity/svid_verifier.h"
#include "grpc/grpc_security_constants.h"

namespace byrnie {
namespace {

absl::string_view View(const grpc::string_ref& ref) { return {ref.data(), ref.size()}; }

}  // namespace

absl::StatusOr<absl::optional<PeerIdentity>> VerifyPeer(const grpc::AuthContext& context,
                                                        const TrustBundleSet& bundles,
                                                        absl::string_view trust_domain,
                                                        absl::Time now) {
  const std::vector<grpc::string_ref> leaf =
      context.FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (leaf.empty()) return absl::optional<PeerIdentity>();
  const std::vector<grpc::string_ref> ids =
      context.FindPropertyValues(GRPC_PEER_SPIFFE_ID_PROPERTY_NAME);
  if (leaf.size() != 1 || ids.size() != 1) {
    return absl::UnauthenticatedError("the client certificate does not have exactly one SPIFFE ID");
  }
  absl::StatusOr<CertificateChain> chain = Certificate::ListFromPem(View(leaf.front()));
  if (!chain.ok() || chain->size() != 1) {
    return absl::UnauthenticatedError("the client certificate cannot be read");
  }
  // What came with the leaf: on a server OpenSSL leaves the leaf out of its list, elsewhere it does
  // not, and after a resumption there is no list.
  for (const grpc::string_ref& text :
       context.FindPropertyValues(GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME)) {
    if (text.size() > kMaxSvidChainPem) {
      return absl::UnauthenticatedError("the client's chain of certificates is too long");
    }
    absl::StatusOr<CertificateChain> others = Certificate::ListFromPem(View(text));
    if (!others.ok()) break;
    for (CertificatePtr& other : *others) {
      if (other->der() != chain->front()->der()) chain->push_back(std::move(other));
    }
  }
  ASSIGN_OR_RETURN(VerifiedSvid svid, VerifySvid(*chain, bundles, now));
  if (svid.id.text() != View(ids.front())) {
    return absl::UnauthenticatedError("the client certificate and the connection disagree");
  }
  if (svid.id.trust_domain() != trust_domain) {
    return absl::UnauthenticatedError(
        absl::StrCat(svid.id.text(), " is not of the trust domain ", trust_domain));
  }
  const CertificatePtr root = RootOf(*chain, bundles, trust_domain, now);
  PeerIdentity peer{std::move(svid.id), svid.not_after, chain->front()->SerialHex()};
  peer.path = *std::move(chain);
  if (root != nullptr) {
    peer.root = root->FingerprintHex();
    // A chain may have brought it along.
    if (peer.path.back()->der() != root->der()) peer.path.push_back(root);
  }
  return absl::optional<PeerIdentity>(std::move(peer));
}

bool IsRevoked(const CertificateChain& path, const TrustBundleSet& bundles,
               absl::string_view trust_domain, absl::Time now) {
  const TrustBundle* const bundle = bundles.Find(trust_domain);
  if (bundle == nullptr || bundle->crls.empty()) return false;
  std::vector<const Certificate*> certificates;
  for (const CertificatePtr& certificate : path) certificates.push_back(certificate.get());
  // Lists that have ended, or are not there, say nothing about who was let in.
  return absl::IsPermissionDenied(CheckRevocation(certificates, bundle->crls, now));
}

absl::StatusOr<PeerIdentity> RequirePeer(const grpc::AuthContext& context,
                                         const TrustBundleSet& bundles,
                                         absl::string_view trust_domain, absl::Time now) {
  ASSIGN_OR_RETURN(absl::optional<PeerIdentity> peer,
                   VerifyPeer(context, bundles, trust_domain, now));
  if (!peer.has_value()) {
    return absl::UnauthenticatedError("this method needs a client certificate");
  }
  return *std::move(peer);
}

absl::StatusOr<absl::string_view> BearerToken(const grpc::ServerContextBase& context) {
  const auto& metadata = context.client_metadata();
  const auto range = metadata.equal_range("authorization");
  if (range.first == range.second) return absl::string_view();
  if (std::next(range.first) != range.second) {
    return absl::UnauthenticatedError("there is more than one authorization; give one");
  }
  // RFC 7235, section 2.1: a scheme is a word in any case, and spaces follow.
  constexpr absl::string_view kScheme = "Bearer ";
  absl::string_view value = View(range.first->second);
  if (!absl::StartsWithIgnoreCase(value, kScheme)) {
    return absl::UnauthenticatedError(
        "the authorization is of another scheme than Bearer, the only one that is taken; give "
        "\"Bearer TOKEN\"");
  }
  value.remove_prefix(kScheme.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  if (value.empty()) return absl::UnauthenticatedError("the authorization has no token");
  return value;
}

std::string PeerRelease(const grpc::ServerContextBase& context) {
  constexpr size_t kMaxRelease = 64;
  const auto found = context.client_metadata().find("user-agent");
  if (found == context.client_metadata().end()) return "";
  const absl::string_view all = View(found->second);
  const absl::string_view word = all.substr(0, all.find(' ')).substr(0, kMaxRelease);
  for (const char c : word) {
    if (!absl::ascii_isgraph(static_cast<unsigned char>(c))) return "";
  }
  return std::string(word);
}

}  // namespace byrnie
