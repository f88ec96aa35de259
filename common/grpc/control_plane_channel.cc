#include "common/grpc/control_plane_channel.h"

#include <functional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/grpc/openssl_engine.h"
#include "common/identity/spiffe_id.h"
#include "common/identity/svid_verifier.h"
#include "common/identity/trust_bundle.h"
#include "grpc/grpc.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace byrnie {
namespace {

using grpc::experimental::ExternalCertificateVerifier;
using grpc::experimental::StaticDataCertificateProvider;
using grpc::experimental::TlsCustomVerificationCheckRequest;

// Judges the server. Who that is it proves to the library, by a signature with the key of its
// certificate.
class ServerVerifier : public ExternalCertificateVerifier {
 public:
  // The client's key lives as long as the channel, as this does.
  explicit ServerVerifier(std::shared_ptr<const OpensslEngineKey> client_key)
      : client_key_(std::move(client_key)) {}

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    grpc::string_ref pem = request->peer_cert_full_chain();
    if (pem.empty()) pem = request->peer_cert();
    const absl::Status verdict = JudgePem(absl::string_view(pem.data(), pem.size()));
    if (verdict.ok()) {
      *sync_status = grpc::Status::OK;
    } else {
      *sync_status =
          grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(verdict.message()));
    }
    return true;
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  absl::Status JudgePem(absl::string_view pem) const {
    if (pem.size() > kMaxSvidChainPem) {
      return absl::UnauthenticatedError("the server's chain of certificates is too long");
    }
    ASSIGN_OR_RETURN(CertificateChain chain, Certificate::ListFromPem(pem));
    if (chain.empty()) return absl::UnauthenticatedError("the server sent no certificate");
    return Judge(chain);
  }

  // Not called with an empty chain.
  virtual absl::Status Judge(const CertificateChain& chain) const = 0;

  const std::shared_ptr<const OpensslEngineKey> client_key_;
};

// Judges the server by the whole of X509-SVID, the path to the roots included: the library would
// judge it first, and say no more than "certificate verify failed" of a clock that is wrong. Its
// own list of URI SANs is not used: it ends at the first NUL.
class SvidServerVerifier final : public ServerVerifier {
 public:
  SvidServerVerifier(SpiffeId expected, TrustBundleSet bundles,
                     std::shared_ptr<const OpensslEngineKey> client_key)
      : ServerVerifier(std::move(client_key)),
        expected_(std::move(expected)),
        bundles_(std::move(bundles)) {}

 private:
  absl::Status Judge(const CertificateChain& chain) const override {
    ASSIGN_OR_RETURN(VerifiedSvid svid, VerifySvid(chain, bundles_, SystemClock().WallNow()));
    if (svid.id != expected_) {
      return absl::UnauthenticatedError(
          absl::StrCat("the server is ", svid.id.text(), ", not ", expected_.text()));
    }
    return absl::OkStatus();
  }

  const SpiffeId expected_;
  const TrustBundleSet bundles_;
};

// Judges a server that is known by its host, as istiod is, after the library has verified the path
// to the roots given.
class HostServerVerifier final : public ServerVerifier {
 public:
  HostServerVerifier(std::string host, std::shared_ptr<const OpensslEngineKey> client_key)
      : ServerVerifier(std::move(client_key)), host_(std::move(host)) {}

 private:
  absl::Status Judge(const CertificateChain& chain) const override {
    if (chain.front()->IsForHost(host_)) return absl::OkStatus();
    return absl::UnauthenticatedError(absl::StrCat("the server's certificate is not for ", host_));
  }

  const std::string host_;
};

// What a server is judged by.
struct Judgement {
  std::shared_ptr<grpc::experimental::CertificateVerifier> verifier;
  // Whether the library is to verify the path before that.
  bool library_verifies;
};

absl::StatusOr<Judgement> NewJudgement(const ControlPlaneChannelOptions& options,
                                       std::shared_ptr<const OpensslEngineKey> client_key) {
  RETURN_IF_ERROR(SpiffeId::CheckTrustDomain(options.trust_domain));
  ASSIGN_OR_RETURN(TrustBundleSet bundles,
                   TrustBundleSet::FromPem(options.trust_domain, options.trust_bundle_pem));
  std::string name = options.server_name;
  if (name.empty()) name = absl::StrCat("spiffe://", options.trust_domain, "/byrnie/controlplane");
  if (!absl::StartsWith(name, "spiffe://")) {
    return Judgement{ExternalCertificateVerifier::Create<HostServerVerifier>(std::move(name),
                                                                             std::move(client_key)),
                     /*library_verifies=*/true};
  }
  ASSIGN_OR_RETURN(SpiffeId server, SpiffeId::Parse(name));
  ASSIGN_OR_RETURN(bundles, WithRevocationLists(bundles, options.revocation_lists));
  return Judgement{ExternalCertificateVerifier::Create<SvidServerVerifier>(
                       std::move(server), std::move(bundles), std::move(client_key)),
                   /*library_verifies=*/false};
}

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

grpc::ChannelArguments Arguments(const ControlPlaneChannelOptions& options) {
  grpc::ChannelArguments arguments;
  if (!options.user_agent.empty()) arguments.SetUserAgentPrefix(options.user_agent);
  // A reused connection would carry an older identity.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // What the environment says about proxies is meant for other traffic.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetServiceConfigJSON("{}");
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive_time));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options.keepalive_timeout));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  // Which is what the library calls it.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, Milliseconds(options.connect_timeout));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5000);
  return arguments;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> CreateControlPlaneChannel(
    const ControlPlaneChannelOptions& options) {
  if (options.target.empty()) {
    return absl::InvalidArgumentError("the address of the control plane is empty; give HOST:PORT");
  }
  std::vector<grpc::experimental::IdentityKeyCertPair> pairs;
  std::shared_ptr<const OpensslEngineKey> client_key;
  if (options.identity.has_value()) {
    const ControlPlaneClientIdentity& identity = *options.identity;
    if (identity.chain.empty() || identity.key == nullptr ||
        !identity.chain.front()->MatchesKey(*identity.key)) {
      return absl::InvalidArgumentError("the client's private key is not that of its certificate");
    }
    grpc::experimental::IdentityKeyCertPair pair;
    for (const CertificatePtr& certificate : identity.chain) {
      absl::StrAppend(&pair.certificate_chain, certificate->ToPem());
    }
    ASSIGN_OR_RETURN(client_key, OpensslEngineKey::Create(
                                     identity.key->PublicKeyDer(),
                                     [key = identity.key](absl::Span<const uint8_t> sha256) {
                                       return key->SignDigest(sha256);
                                     }));
    pair.private_key = client_key->name();
    pairs.push_back(std::move(pair));
  }
  ASSIGN_OR_RETURN(Judgement judgement, NewJudgement(options, std::move(client_key)));

  grpc::experimental::TlsChannelCredentialsOptions tls;
  tls.set_certificate_provider(
      std::make_shared<StaticDataCertificateProvider>(options.trust_bundle_pem, pairs));
  tls.watch_root_certs();
  if (!pairs.empty()) tls.watch_identity_key_cert_pairs();
  tls.set_verify_server_certs(judgement.library_verifies);
  tls.set_check_call_host(false);
  tls.set_certificate_verifier(std::move(judgement.verifier));
  return grpc::CreateCustomChannel(options.target, grpc::experimental::TlsCredentials(tls),
                                   Arguments(options));
}

}  // namespace byrnie
