#include "controlplane/attest/service_account_keys.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/json.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr size_t kMaxConfiguration = 64 * 1024;
constexpr Backoff::Options kBackoff{absl::Seconds(2), absl::Minutes(5), 2.0, 0.5, absl::Seconds(1)};

}  // namespace

absl::StatusOr<JwtTrustPtr> ServiceAccountTrust(absl::string_view issuer, absl::string_view jwks,
                                                const std::vector<std::string>& audiences,
                                                absl::string_view trust_domain) {
  JwtTrust::Entry entry;
  entry.issuer.name = std::string(issuer);
  entry.issuer.audiences = audiences;
  entry.issuer.max_life = ServiceAccountKeys::kMaxLife;
  ASSIGN_OR_RETURN(IdentityMapping mapping,
                   IdentityMapping::Create(
                       {{"sub", "system:serviceaccount:{ns}:{sa}"},
                        {"kubernetes.io/pod/name", "{pod}"},
                        {"kubernetes.io/pod/uid", "{uid}"}},
                       absl::StrCat("spiffe://", trust_domain, "/ns/{ns}/sa/{sa}"), trust_domain));
  entry.issuer.identities.push_back(std::move(mapping));
  ASSIGN_OR_RETURN(JwkSet keys, JwkSet::Parse(jwks));
  entry.keys = std::make_shared<const JwkSet>(std::move(keys));
  auto trust = std::make_shared<JwtTrust>();
  trust->leeway = absl::Seconds(5);
  trust->issuers.push_back(std::move(entry));
  return JwtTrustPtr(std::move(trust));
}

ServiceAccountKeys::ServiceAccountKeys(std::string trust_domain, std::vector<std::string> audiences,
                                       ApiClient* client, EventLoop* loop, absl::BitGenRef random,
                                       Logger* logger, Listener listener)
    : trust_domain_(std::move(trust_domain)),
      audiences_(std::move(audiences)),
      client_(client),
      loop_(loop),
      logger_(logger),
      listener_(std::move(listener)),
      backoff_(kBackoff, random),
      fetch_(loop->NewTimer([this] { Fetch(); })),
      next_(loop->NewTimer([this] { step_(); })) {
  fetch_->Schedule(absl::ZeroDuration());
}

void ServiceAccountKeys::FetchSoon() {
  if (fetching_ || loop_->Now() - fetch_begun_ < kLeastInterval) return;
  fetch_->Schedule(absl::ZeroDuration());
}

void ServiceAccountKeys::Fetch() {
  fetching_ = true;
  fetch_begun_ = loop_->Now();
  Get("/.well-known/openid-configuration", "application/json",
      [this](const std::string& body) { return OnConfiguration(body); });
}

void ServiceAccountKeys::Get(absl::string_view target, absl::string_view accept,
                             std::function<absl::Status(const std::string& body)> then) {
  ApiRequest request;
  request.target = std::string(target);
  request.accept = std::string(accept);
  request.max_body = JwkSet::kMaxSize;
  ApiClient::Handlers handlers;
  handlers.on_done = [this, then = std::move(then)](absl::StatusOr<ApiResponse> response) {
    absl::Status done = response.ok() ? absl::OkStatus() : response.status();
    if (done.ok()) done = response->ok() ? then(response->body) : ApiError(*response);
    if (!done.ok()) Fail(done);
  };
  call_ = client_->Send(std::move(request), std::move(handlers));
}

absl::Status ServiceAccountKeys::OnConfiguration(const std::string& body) {
  ASSIGN_OR_RETURN(JsonValue value, JsonValue::Parse(body, kMaxConfiguration));
  ASSIGN_OR_RETURN(JsonObject object, value.AsObject());
  ASSIGN_OR_RETURN(issuer_, object.GetString("issuer"));
  // Not jwks_uri: it may be elsewhere, and this server has them too.
  step_ = [this] {
    // As application/json the server does not give them (406).
    Get("/openid/v1/jwks", "application/jwk-set+json",
        [this](const std::string& keys) { return OnKeys(keys); });
  };
  next_->Schedule(absl::ZeroDuration());
  return absl::OkStatus();
}

absl::Status ServiceAccountKeys::OnKeys(const std::string& body) {
  ASSIGN_OR_RETURN(JwtTrustPtr trust,
                   ServiceAccountTrust(issuer_, body, audiences_, trust_domain_));
  fetching_ = false;
  backoff_.Reset();
  logged_.clear();
  fetch_->Schedule(kInterval);
  listener_(std::move(trust));
  return absl::OkStatus();
}

void ServiceAccountKeys::Fail(const absl::Status& why) {
  fetching_ = false;
  fetch_->Schedule(backoff_.Next());
  if (logged_ == why.message()) return;
  logged_ = std::string(why.message());
  logger_->Warning(
      "cannot read the keys of service accounts' tokens: without the API server, tokens can be "
      "judged only by those read before, if any",
      {{"error", why.message()}});
}

}  // namespace byrnie
