#include "common/identity/svid_verifier.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/ssl_error.h"
#include "openssl/evp.h"
#include "openssl/nid.h"
#include "openssl/stack.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

constexpr size_t kMaxChain = 4;
constexpr int kMaxIntermediates = static_cast<int>(kMaxChain) - 1;
constexpr int kMaxRsaBits = 4096;
constexpr uint32_t kTlsUsages = XKU_SSL_SERVER | XKU_SSL_CLIENT;

absl::Status Refuse(absl::string_view who, absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat(who, " ", why));
}

// The name of a certificate for people: its only URI where it has one, else its subject.
std::string NameOf(const Certificate& certificate) {
  if (certificate.uri_sans().size() == 1) {
    return absl::StrCat("certificate of ",
                        absl::CEscape(certificate.uri_sans().front().substr(0, 256)));
  }
  return absl::StrCat("certificate \"", certificate.Subject().substr(0, 256), "\"");
}

// Keys whose signatures are cheap to check and not weak: a peer chooses what we compute.
absl::Status CheckKey(const Certificate& certificate) {
  const EVP_PKEY* key = X509_get0_pubkey(certificate.native());
  if (key == nullptr) {
    DrainSslErrors();
    return Refuse(NameOf(certificate), "has a public key of an unknown kind");
  }
  if (EVP_PKEY_id(key) == EVP_PKEY_RSA) {
    const int bits = EVP_PKEY_bits(key);
    if (bits < 2048 || bits > kMaxRsaBits) {
      return Refuse(NameOf(certificate), absl::StrCat("has an RSA key of ", bits, " bits; 2048 to ",
                                                      kMaxRsaBits, " are taken"));
    }
  }
  return absl::OkStatus();
}

// X509-SVID.md sections 4.1, 4.3 and 4.4, as far as they bind the validator of a leaf.
absl::Status CheckLeaf(const Certificate& leaf) {
  const std::string who = NameOf(leaf);
  X509* const x509 = leaf.native();
  if (X509_get_extension_flags(x509) & EXFLAG_INVALID) {
    DrainSslErrors();
    return Refuse(who, "has a malformed extension");
  }
  if (leaf.is_ca()) return Refuse(who, "is a CA certificate, which may not authenticate");
  const int at = X509_get_ext_by_NID(x509, NID_key_usage, -1);
  if (at < 0) return Refuse(who, "has no key usage");
  if (!X509_EXTENSION_get_critical(X509_get_ext(x509, at))) {
    return Refuse(who, "has a key usage that is not critical");
  }
  const uint32_t usage = X509_get_key_usage(x509);
  if (usage & X509v3_KU_KEY_CERT_SIGN) return Refuse(who, "has the key usage keyCertSign");
  if (usage & X509v3_KU_CRL_SIGN) return Refuse(who, "has the key usage cRLSign");
  if (!(usage & X509v3_KU_DIGITAL_SIGNATURE)) {
    return Refuse(who, "lacks the key usage digitalSignature");
  }
  return absl::OkStatus();
}

// Where the extended key usage is there, it must allow both roles: a mesh peer has both. For a CA
// it constrains what it may issue.
absl::Status CheckExtendedKeyUsage(const Certificate& certificate) {
  if (!(X509_get_extension_flags(certificate.native()) & EXFLAG_XKUSAGE)) return absl::OkStatus();
  const uint32_t usages = X509_get_extended_key_usage(certificate.native());
  if ((usages & kTlsUsages) == kTlsUsages) return absl::OkStatus();
  return Refuse(NameOf(certificate),
                usages & XKU_SSL_SERVER
                    ? "lacks the extended key usage clientAuth"
                    : (usages & XKU_SSL_CLIENT ? "lacks the extended key usage serverAuth"
                                               : "lacks the extended key usages serverAuth and "
                                                 "clientAuth"));
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

std::string Seconds(absl::Duration duration) {
  return absl::StrCat(absl::ToInt64Seconds(duration), " s");
}

// A path that X509_verify_cert refused, in words.
absl::Status PathError(const X509_STORE_CTX* ctx, const CertificateChain& chain,
                       const std::vector<CertificatePtr>& roots, const SpiffeId& id, absl::Time now,
                       SvidDefect* defect) {
  const int error = X509_STORE_CTX_get_error(ctx);
  X509* const current = X509_STORE_CTX_get_current_cert(ctx);
  const Certificate* culprit = chain.front().get();
  const auto find = [&](const std::vector<CertificatePtr>& certificates) {
    for (const CertificatePtr& candidate : certificates) {
      if (candidate->native() == current) culprit = candidate.get();
    }
  };
  find(chain);
  find(roots);
  const std::string who =
      culprit == chain.front().get()
          ? NameOf(*culprit)
          : absl::StrCat("certificate of ", id.text(), ": issuer ", NameOf(*culprit));
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      *defect = SvidDefect::kExpired;
      return Refuse(who, absl::StrCat("expired ", Seconds(now - culprit->not_after()), " ago"));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      *defect = SvidDefect::kNotYetValid;
      return Refuse(who, absl::StrCat("is valid in ", Seconds(culprit->not_before() - now),
                                      "; is the clock of this machine behind?"));
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      *defect = SvidDefect::kUnknownIssuer;
      return Refuse(who, absl::StrCat("is not signed by a root of trust domain ", id.trust_domain(),
                                      ": ", X509_verify_cert_error_string(error)));
    default:
      *defect = SvidDefect::kMalformed;
      return Refuse(who, absl::StrCat("is refused: ", X509_verify_cert_error_string(error)));
  }
}

// RFC 5280 section 6: a path from the leaf to one of `roots`. Returns its earliest end, roots
// excluded.
absl::StatusOr<absl::Time> VerifyPath(const CertificateChain& chain,
                                      const std::vector<CertificatePtr>& roots, const SpiffeId& id,
                                      absl::Time now, SvidDefect* defect) {
  bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  bssl::UniquePtr<X509_STORE_CTX> ctx(X509_STORE_CTX_new());
  bssl::UniquePtr<STACK_OF(X509)> trusted(sk_X509_new_null());
  bssl::UniquePtr<STACK_OF(X509)> untrusted(sk_X509_new_null());
  bool ready = store && ctx && trusted && untrusted;
  for (const CertificatePtr& root : roots) {
    ready = ready && PushRef(trusted.get(), root->native());
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    ready = ready && PushRef(untrusted.get(), chain[i]->native());
  }
  if (!ready ||
      !X509_STORE_CTX_init(ctx.get(), store.get(), chain.front()->native(), untrusted.get())) {
    return SslError(absl::StatusCode::kInternal, "cannot verify a certificate");
  }
  X509_STORE_CTX_set0_trusted_stack(ctx.get(), trusted.get());
  X509_VERIFY_PARAM* const param = X509_STORE_CTX_get0_param(ctx.get());
  X509_VERIFY_PARAM_set_time_posix(param, absl::ToUnixSeconds(now));
  X509_VERIFY_PARAM_set_depth(param, kMaxIntermediates);
  if (!X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER)) {
    return SslError(absl::StatusCode::kInternal, "cannot verify a certificate");
  }
  if (X509_verify_cert(ctx.get()) != 1) {
    DrainSslErrors();
    return PathError(ctx.get(), chain, roots, id, now, defect);
  }

  // What follows speaks of the certificates on the path alone, not of extra ones a peer has sent.
  const STACK_OF(X509)* path = X509_STORE_CTX_get0_chain(ctx.get());
  absl::Time not_after = absl::InfiniteFuture();
  for (size_t i = 0; i + 1 < sk_X509_num(path); ++i) {
    const X509* x509 = sk_X509_value(path, i);
    for (const CertificatePtr& certificate : chain) {
      if (certificate->native() != x509) continue;
      const absl::Status usage = CheckExtendedKeyUsage(*certificate);
      if (!usage.ok()) return usage;
      not_after = std::min(not_after, certificate->not_after());
    }
  }
  return std::min(not_after, chain.front()->not_after());
}

}  // namespace

absl::StatusOr<VerifiedSvid> VerifySvid(const CertificateChain& chain,
                                        const TrustBundleSet& bundles, absl::Time now,
                                        SvidDefect* defect) {
  SvidDefect ignored;
  if (defect == nullptr) defect = &ignored;
  *defect = SvidDefect::kMalformed;
  if (chain.empty()) return absl::UnauthenticatedError("no certificate was presented");
  if (chain.size() > kMaxChain) {
    return absl::UnauthenticatedError(absl::StrCat(
        "chain of ", chain.size(), " certificates; at most ", kMaxChain, " are taken"));
  }
  for (const CertificatePtr& certificate : chain) {
    const absl::Status key = CheckKey(*certificate);
    if (!key.ok()) return key;
  }
  const Certificate& leaf = *chain.front();
  absl::Status checked = CheckLeaf(leaf);
  if (checked.ok()) checked = CheckExtendedKeyUsage(leaf);
  if (!checked.ok()) return checked;
  absl::StatusOr<SpiffeId> id = IdentityOf(leaf);
  if (!id.ok()) return id.status();

  const TrustBundle* bundle = bundles.Find(id->trust_domain());
  if (bundle == nullptr) {
    *defect = SvidDefect::kUnknownIssuer;
    return Refuse(NameOf(leaf), absl::StrCat("is of trust domain ", id->trust_domain(),
                                             ", for which there is no trust bundle"));
  }
  absl::StatusOr<absl::Time> not_after = VerifyPath(chain, bundle->roots, *id, now, defect);
  if (!not_after.ok()) return not_after.status();
  *defect = SvidDefect::kNone;
  return VerifiedSvid{*std::move(id), *not_after};
}

}  // namespace byrnie
