#include "common/tls/named_server.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/crypto/ssl_error.h"
#include "openssl/ssl.h"
#include "openssl/x509.h"

namespace byrnie {
namespace {

// More than any public authority's path has.
constexpr size_t kMaxChain = 10;

bool PushRef(STACK_OF(X509) * stack, X509* x509) {
  return bssl::PushToStack(stack, bssl::UpRef(x509));
}

uint8_t AlertFor(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return SSL_AD_CERTIFICATE_EXPIRED;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return SSL_AD_UNKNOWN_CA;
    default:
      return SSL_AD_BAD_CERTIFICATE;
  }
}

absl::Status VerifyPath(const CertificateChain& chain, const Certificate& root,
                        const std::string& host, absl::Time now, uint8_t* alert) {
  bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  bssl::UniquePtr<X509_STORE_CTX> ctx(X509_STORE_CTX_new());
  bssl::UniquePtr<STACK_OF(X509)> trusted(sk_X509_new_null());
  bssl::UniquePtr<STACK_OF(X509)> untrusted(sk_X509_new_null());
  bool ready = store && ctx && trusted && untrusted && PushRef(trusted.get(), root.native());
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
  X509_VERIFY_PARAM_set_depth(param, static_cast<int>(kMaxChain));
  if (!X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) ||
      !X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER)) {
    return SslError(absl::StatusCode::kInternal, "cannot verify a certificate");
  }
  if (X509_verify_cert(ctx.get()) == 1) return absl::OkStatus();
  DrainSslErrors();
  const int error = X509_STORE_CTX_get_error(ctx.get());
  *alert = AlertFor(error);
  return absl::UnauthenticatedError(absl::StrCat(
      "the certificate of ", host, " is refused: ", X509_verify_cert_error_string(error)));
}

// One root at a time: a CA that was made anew has the name of the one before, and the library tries
// only one of them.
absl::Status VerifyByAny(const CertificateChain& chain, const NamedServer& server, absl::Time now,
                         uint8_t* alert) {
  absl::Status why = absl::UnauthenticatedError("there is no root to verify the server by");
  *alert = SSL_AD_UNKNOWN_CA;
  for (const CertificatePtr& root : server.roots) {
    uint8_t told = SSL_AD_UNKNOWN_CA;
    absl::Status by_this = VerifyPath(chain, *root, server.host, now, &told);
    if (by_this.ok()) return by_this;
    // A root that the path does not lead to has the least to say.
    if (*alert != SSL_AD_UNKNOWN_CA) continue;
    *alert = told;
    why = std::move(by_this);
  }
  return why;
}

}  // namespace

absl::Status VerifyNamedServer(const STACK_OF(CRYPTO_BUFFER) * presented, const NamedServer& server,
                               absl::Time now, uint8_t* alert) {
  *alert = SSL_AD_BAD_CERTIFICATE;
  const size_t count = presented == nullptr ? 0 : sk_CRYPTO_BUFFER_num(presented);
  if (count == 0 || count > kMaxChain) {
    return absl::UnauthenticatedError(absl::StrCat(
        server.host, " presented ", count, " certificates; 1 to ", kMaxChain, " are taken"));
  }
  CertificateChain chain;
  for (size_t i = 0; i < count; ++i) {
    const CRYPTO_BUFFER* buffer = sk_CRYPTO_BUFFER_value(presented, i);
    absl::StatusOr<CertificatePtr> certificate = Certificate::FromDer(absl::string_view(
        reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer)), CRYPTO_BUFFER_len(buffer)));
    if (!certificate.ok()) {
      return absl::UnauthenticatedError(absl::StrCat("certificate ", i + 1, " of ", server.host,
                                                     ": ", certificate.status().message()));
    }
    chain.push_back(*std::move(certificate));
  }
  RETURN_IF_ERROR(VerifyByAny(chain, server, now, alert));
  if (!chain.front()->IsForHost(server.host)) {
    *alert = SSL_AD_BAD_CERTIFICATE;
    return absl::UnauthenticatedError(
        absl::StrCat("the server's certificate is not for ", server.host));
  }
  return absl::OkStatus();
}

}  // namespace byrnie
