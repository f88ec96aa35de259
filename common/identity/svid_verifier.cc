#include "common/identity/svid_verifier.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"
#include "common/crypto/ssl_error.h"
#include "common/identity/revocation.h"
#include "common/identity/svid_rules.h"
#include "openssl/stack.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

constexpr int kMaxIntermediates = static_cast<int>(kMaxSvidChain) - 1;

using Path = VerifiedPaths::Path;

absl::Status Refuse(absl::string_view who, absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat(who, " ", why));
}

std::string Seconds(absl::Duration duration) {
  return absl::StrCat(absl::ToInt64Seconds(duration), " s");
}

absl::StatusOr<SpiffeId> IdentityOf(const Certificate& leaf) {
  if (leaf.uri_sans().size() != 1) {
    return Refuse(NameOf(leaf), absl::StrCat("has ", leaf.uri_sans().size(),
                                             " URI subject alternative names; an X509-SVID has "
                                             "exactly one"));
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(leaf.uri_sans().front());
  if (!id.ok()) return absl::UnauthenticatedError(id.status().message());
  return id;
}

bool PushRef(STACK_OF(X509) * stack, X509* x509) {
  return bssl::PushToStack(stack, bssl::UpRef(x509));
}

// Verifies a chain by one trust anchor.
class PathFinder {
 public:
  PathFinder(const CertificateChain& chain, const SpiffeId& id, absl::Time now)
      : chain_(chain), id_(id), now_(now) {}

  // Unauthenticated with defect() otherwise.
  absl::StatusOr<Path> FindPathTo(const Certificate& anchor) {
    defect_ = SvidDefect::kMalformed;
    bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
    bssl::UniquePtr<X509_STORE_CTX> ctx(X509_STORE_CTX_new());
    bssl::UniquePtr<STACK_OF(X509)> trusted(sk_X509_new_null());
    bssl::UniquePtr<STACK_OF(X509)> untrusted(sk_X509_new_null());
    bool ready = store && ctx && trusted && untrusted && PushRef(trusted.get(), anchor.native());
    for (size_t i = 1; i < chain_.size(); ++i) {
      ready = ready && PushRef(untrusted.get(), chain_[i]->native());
    }
    if (!ready ||
        !X509_STORE_CTX_init(ctx.get(), store.get(), chain_.front()->native(), untrusted.get())) {
      return SslError(absl::StatusCode::kInternal, "cannot verify a certificate");
    }
    X509_STORE_CTX_set0_trusted_stack(ctx.get(), trusted.get());
    X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(ctx.get());
    X509_VERIFY_PARAM_set_time_posix(param, absl::ToUnixSeconds(now_));
    X509_VERIFY_PARAM_set_depth(param, kMaxIntermediates);
    // A bundle may hold a CA that another one has signed: what it holds is trusted as it is.
    if (!X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) ||
        !X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER)) {
      return SslError(absl::StatusCode::kInternal, "cannot verify a certificate");
    }
    if (X509_verify_cert(ctx.get()) != 1) {
      DrainSslErrors();
      return Explain(*ctx, anchor);
    }
    // What follows speaks of the certificates on the path alone, not of extra ones a peer has sent.
    ASSIGN_OR_RETURN(Path path, ToPath(X509_STORE_CTX_get0_chain(ctx.get()), anchor));
    RETURN_IF_ERROR(CheckPath(path));
    defect_ = SvidDefect::kNone;
    return path;
  }

  SvidDefect defect() const { return defect_; }

 private:
  absl::StatusOr<Path> ToPath(const STACK_OF(X509) * found, const Certificate& anchor) const {
    Path path;
    for (size_t i = 0; i < sk_X509_num(found); ++i) {
      const Certificate* certificate = Find(sk_X509_value(found, i), anchor);
      if (certificate == nullptr) {
        return absl::InternalError("the verified path has a certificate that nobody gave");
      }
      path.push_back(certificate);
    }
    // Of a leaf alone nobody but itself would speak.
    if (path.size() < 2 || path.back() != &anchor) {
      return Refuse(Who(*chain_.front()), "is not below a root");
    }
    return path;
  }

  const Certificate* Find(const X509* x509, const Certificate& anchor) const {
    if (anchor.native() == x509) return &anchor;
    for (const CertificatePtr& certificate : chain_) {
      if (certificate->native() == x509) return certificate.get();
    }
    return nullptr;
  }

  // The library looks at the path lengths of intermediates only, and lets a signing certificate
  // have no key usage at all.
  absl::Status CheckPath(const Path& path) const {
    long below = 0;  // NOLINT: the library's type.
    for (size_t i = 0; i < path.size(); ++i) {
      const Certificate& certificate = *path[i];
      const bool is_anchor = i + 1 == path.size();
      if (!is_anchor) RETURN_IF_ERROR(CheckExtendedKeyUsage(certificate));
      if (i == 0) continue;
      RETURN_IF_ERROR(CheckSigner(certificate));
      const long limit = X509_get_pathlen(certificate.native());  // NOLINT
      if (limit >= 0 && below > limit) {
        return Refuse(Who(certificate),
                      absl::StrCat("allows a path length of ", limit, ", and there are ", below,
                                   " signing certificates below it"));
      }
      // RFC 5280 section 4.2.1.9: self-issued certificates do not count.
      if (!(X509_get_extension_flags(certificate.native()) & EXFLAG_SI)) ++below;
    }
    return absl::OkStatus();
  }

  std::string Who(const Certificate& culprit) const {
    if (&culprit == chain_.front().get()) return NameOf(culprit);
    return absl::StrCat("certificate of ", id_.text(), ": issuer ", NameOf(culprit));
  }

  // A path that X509_verify_cert refused, in words.
  absl::Status Explain(const X509_STORE_CTX& ctx, const Certificate& anchor) {
    const int error = X509_STORE_CTX_get_error(&ctx);
    const Certificate* found = Find(X509_STORE_CTX_get_current_cert(&ctx), anchor);
    const Certificate& culprit = found == nullptr ? *chain_.front() : *found;
    const std::string who = Who(culprit);
    switch (error) {
      case X509_V_ERR_CERT_HAS_EXPIRED:
        defect_ = SvidDefect::kExpired;
        return Refuse(who, absl::StrCat("expired ", Seconds(now_ - culprit.not_after()), " ago"));
      case X509_V_ERR_CERT_NOT_YET_VALID:
        defect_ = SvidDefect::kNotYetValid;
        return Refuse(who, absl::StrCat("is valid in ", Seconds(culprit.not_before() - now_),
                                        "; is the clock of this machine behind?"));
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
      case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      case X509_V_ERR_CERT_SIGNATURE_FAILURE: {
        // An issuer that is there but may not be one is passed over as if it were not.
        RETURN_IF_ERROR(CheckNamedIssuer(culprit));
        defect_ = SvidDefect::kUnknownIssuer;
        return Refuse(
            who, absl::StrCat("is not signed by a root of trust domain ", id_.trust_domain(), ": ",
                              X509_verify_cert_error_string(error)));
      }
      case X509_V_ERR_INVALID_CA:
      case X509_V_ERR_INVALID_PURPOSE:
        if (&culprit != chain_.front().get()) RETURN_IF_ERROR(CheckSigner(culprit));
        RETURN_IF_ERROR(CheckExtendedKeyUsage(culprit));
        break;
      case X509_V_ERR_PERMITTED_VIOLATION:
      case X509_V_ERR_EXCLUDED_VIOLATION:
      case X509_V_ERR_SUBTREE_MINMAX:
      case X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE:
      case X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX:
      case X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
      case X509_V_ERR_NAME_CONSTRAINTS_WITHOUT_SANS:
        return Refuse(who, absl::StrCat("is against the name constraints of an issuer: ",
                                        X509_verify_cert_error_string(error)));
      default:
        break;
    }
    return Refuse(who, absl::StrCat("is refused: ", X509_verify_cert_error_string(error)));
  }

  // Of the certificates presented, those that bear the name of `certificate`'s issuer.
  absl::Status CheckNamedIssuer(const Certificate& certificate) const {
    for (size_t i = 1; i < chain_.size(); ++i) {
      if (X509_NAME_cmp(X509_get_subject_name(chain_[i]->native()),
                        X509_get_issuer_name(certificate.native())) == 0) {
        RETURN_IF_ERROR(CheckSigner(*chain_[i]));
      }
    }
    return absl::OkStatus();
  }

  const CertificateChain& chain_;
  const SpiffeId& id_;
  const absl::Time now_;
  SvidDefect defect_ = SvidDefect::kMalformed;
};

// By the first root that there is a path to. One root at a time: several may have the same name,
// as when a root is renewed, and the library tries only one of them.
absl::StatusOr<Path> FindPath(const CertificateChain& chain, const TrustBundle& bundle,
                              const SpiffeId& id, absl::Time now, SvidDefect* defect,
                              VerifiedPaths* known) {
  *defect = SvidDefect::kNone;
  if (known != nullptr) {
    for (const CertificatePtr& root : bundle.roots) {
      absl::optional<Path> path = known->Find(chain, *root, now);
      if (path.has_value()) return *std::move(path);
    }
  }
  absl::Status why = absl::InternalError("a trust bundle without roots");
  *defect = SvidDefect::kUnknownIssuer;
  bool tried = false;
  for (const CertificatePtr& root : bundle.roots) {
    PathFinder finder(chain, id, now);
    absl::StatusOr<Path> path = finder.FindPathTo(*root);
    if (path.ok()) {
      *defect = SvidDefect::kNone;
      if (known != nullptr) known->Add(chain, *root, *path);
      return path;
    }
    // A root that the path does not lead to has the least to say.
    if (!tried || *defect == SvidDefect::kUnknownIssuer) {
      why = path.status();
      *defect = finder.defect();
    }
    tried = true;
  }
  return why;
}

struct Verified {
  SpiffeId id;
  Path path;
  const TrustBundle* bundle;
};

absl::StatusOr<Verified> VerifyWithoutRevocation(const CertificateChain& chain,
                                                 const TrustBundleSet& bundles, absl::Time now,
                                                 SvidDefect* defect,
                                                 VerifiedPaths* known = nullptr) {
  *defect = SvidDefect::kMalformed;
  if (chain.empty()) return absl::UnauthenticatedError("no certificate was presented");
  if (chain.size() > kMaxSvidChain) {
    return absl::UnauthenticatedError(absl::StrCat(
        "chain of ", chain.size(), " certificates; at most ", kMaxSvidChain, " are taken"));
  }
  size_t bytes = 0;
  for (const CertificatePtr& certificate : chain) bytes += certificate->der().size();
  if (bytes > kMaxSvidChainBytes) {
    return absl::UnauthenticatedError(
        absl::StrCat("chain of ", bytes, " bytes; at most ", kMaxSvidChainBytes, " are taken"));
  }
  for (const CertificatePtr& certificate : chain) RETURN_IF_ERROR(CheckShape(*certificate));
  for (const CertificatePtr& certificate : chain) {
    RETURN_IF_ERROR(CheckSignatureAlgorithm(*certificate));
  }
  const Certificate& leaf = *chain.front();
  RETURN_IF_ERROR(CheckLeaf(leaf));
  RETURN_IF_ERROR(CheckExtendedKeyUsage(leaf));
  ASSIGN_OR_RETURN(SpiffeId id, IdentityOf(leaf));
  const TrustBundle* const bundle = bundles.Find(id.trust_domain());
  if (bundle == nullptr) {
    *defect = SvidDefect::kUnknownIssuer;
    return Refuse(NameOf(leaf), absl::StrCat("is of trust domain ", id.trust_domain(),
                                             ", for which there is no trust bundle"));
  }
  ASSIGN_OR_RETURN(Path path, FindPath(chain, *bundle, id, now, defect, known));
  return Verified{std::move(id), std::move(path), bundle};
}

absl::Status CheckRevocationOf(const Verified& verified, absl::Time now, SvidDefect* defect) {
  const absl::Status status = CheckRevocation(verified.path, verified.bundle->crls, now);
  if (status.ok()) return status;
  *defect =
      absl::IsPermissionDenied(status) ? SvidDefect::kRevoked : SvidDefect::kRevocationUnknown;
  return absl::UnauthenticatedError(status.message());
}

VerifiedSvid Conclude(Verified verified) {
  absl::Time not_after = absl::InfiniteFuture();
  for (const Certificate* certificate : verified.path) {
    not_after = std::min(not_after, certificate->not_after());
  }
  return VerifiedSvid{std::move(verified.id), not_after};
}

}  // namespace

absl::StatusOr<VerifiedSvid> VerifySvid(const CertificateChain& chain,
                                        const TrustBundleSet& bundles, absl::Time now,
                                        SvidDefect* defect, VerifiedPaths* known) {
  SvidDefect ignored;
  if (defect == nullptr) defect = &ignored;
  ASSIGN_OR_RETURN(Verified verified, VerifyWithoutRevocation(chain, bundles, now, defect, known));
  RETURN_IF_ERROR(CheckRevocationOf(verified, now, defect));
  return Conclude(std::move(verified));
}

absl::StatusOr<VerifiedSvid> VerifyOwnSvid(const CertificateChain& chain,
                                           const TrustBundleSet& bundles, absl::Time now) {
  SvidDefect ignored;
  ASSIGN_OR_RETURN(Verified verified, VerifyWithoutRevocation(chain, bundles, now, &ignored));
  return Conclude(std::move(verified));
}

absl::Status ReverifySvid(const CertificateChain& chain, const TrustBundleSet& bundles,
                          absl::Time not_after, absl::Time now, SvidDefect* defect) {
  // An end counts as expired itself, in whole seconds.
  const absl::Time as_of = std::min(now, not_after - absl::Seconds(1));
  ASSIGN_OR_RETURN(Verified verified, VerifyWithoutRevocation(chain, bundles, as_of, defect));
  return CheckRevocationOf(verified, now, defect);
}

}  // namespace byrnie
