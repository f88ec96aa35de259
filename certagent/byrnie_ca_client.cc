#include "certagent/byrnie_ca_client.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "certagent/ca_messages.h"
#include "certagent/grpc_bidi_stream.h"
#include "certagent/issue_call.h"
#include "common/base/check.h"
#include "common/base/retry_after.h"
#include "grpcpp/client_context.h"

namespace byrnie {
namespace {

// Nobody is waited for longer, whatever it asks for.
constexpr absl::Duration kLongestWait = absl::Minutes(5);

Backoff::Options WatchBackoff() {
  Backoff::Options options;
  options.initial = absl::Milliseconds(500);
  options.max = absl::Seconds(15);
  options.jitter = 0.5;
  return options;
}

}  // namespace

ByrnieCaClient::ByrnieCaClient(EventLoop* loop, ControlPlaneConnector* connector, TokenFile token,
                               Logger* log, absl::BitGenRef random, ProxyQuestion ask_proxy)
    : loop_(loop),
      connector_(connector),
      token_(std::move(token)),
      log_(log),
      ask_proxy_(std::move(ask_proxy)),
      watch_backoff_(WatchBackoff(), random),
      watch_again_(loop->NewTimer([this] { OpenWatch(); })) {}

ByrnieCaClient::~ByrnieCaClient() = default;

void ByrnieCaClient::Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
                           IssueCallback done) {
  DCHECK(loop_->InLoopThread());
  absl::StatusOr<ControlPlaneConnector::Connection> connection = connector_->NewChannel(identity);
  endpoint_.reset();
  call_ = std::make_unique<IssueCall>(
      loop_, [this, done = std::move(done)](absl::Status status,
                                            const ca::v1::IssueResponse& response) mutable {
        // Its connection ends with this.
        const auto finished = std::move(call_);
        if (endpoint_.has_value()) status = connector_->OnCallEnded(*endpoint_, std::move(status));
        if (!status.ok()) return done(std::move(status));
        done(ParseIssueResponse(response));
      });
  absl::Status prepared = connection.status();
  if (prepared.ok()) {
    prepared = PrepareIssueCall(identity, token_, loop_->WallNow(),
                                connector_->CallPatience(connection->endpoint), call_->context());
  }
  if (!prepared.ok()) return call_->Fail(std::move(prepared));
  endpoint_ = connection->endpoint;
  call_->request()->set_csr(std::move(csr_der));
  if (ttl > absl::ZeroDuration()) {
    call_->request()->mutable_ttl()->set_seconds(absl::ToInt64Seconds(ttl));
  }
  using Stub = ca::v1::CertificateAuthority::Stub;
  std::shared_ptr<Stub> stub = ca::v1::CertificateAuthority::NewStub(connection->channel);
  call_->Start([stub](grpc::ClientContext* context, const ca::v1::IssueRequest* request,
                      ca::v1::IssueResponse* response, std::function<void(grpc::Status)> on_end) {
    stub->async()->Issue(context, request, response, std::move(on_end));
  });
}

void ByrnieCaClient::WatchTrustBundles(ClientIdentityPtr identity, BundleCallback on_update) {
  DCHECK(loop_->InLoopThread());
  watch_identity_ = std::move(identity);
  on_bundles_ = std::move(on_update);
  watch_backoff_.Reset();
  OpenWatch();
}

void ByrnieCaClient::OpenWatch() {
  watch_again_->Cancel();
  watch_.reset();
  absl::StatusOr<ControlPlaneConnector::Connection> connection =
      connector_->SharedChannel(watch_identity_);
  if (!connection.ok()) return OnWatchClosed(connection.status());
  watch_endpoint_ = connection->endpoint;
  ++watch_number_;
  using Stream =
      GrpcBidiStream<ca::v1::WatchTrustBundlesRequest, ca::v1::WatchTrustBundlesResponse>;
  Stream::Callbacks callbacks;
  callbacks.on_message = [this](ca::v1::WatchTrustBundlesResponse response) {
    watch_backoff_.Reset();
    losses_said_.Reset();
    connector_->OnStreamWorks(watch_endpoint_);
    if (response.question() != 0) return OnQuestion(response.question());
    on_bundles_(ParseTrustBundles(response.trust_bundles()));
  };
  callbacks.on_closed = [this](absl::Status why) { OnWatchClosed(std::move(why)); };
  watch_ = std::make_unique<Stream>(
      loop_,
      [stub = std::shared_ptr<ca::v1::CertificateAuthority::Stub>(
           ca::v1::CertificateAuthority::NewStub(connection->channel))](
          grpc::ClientContext* context, Stream::Reactor* reactor) {
        stub->async()->WatchTrustBundles(context, reactor);
      },
      std::move(callbacks));
  AcknowledgeTrustBundles(acknowledged_version_);
}

void ByrnieCaClient::OnWatchClosed(absl::Status why) {
  if (watch_ != nullptr && !why.ok()) {
    why = connector_->OnCallEnded(watch_endpoint_, std::move(why));
  }
  watch_.reset();
  const absl::Duration delay =
      std::max(watch_backoff_.Next(),
               std::min(RetryAfter(why).value_or(absl::ZeroDuration()), kLongestWait));
  ClearRetryAfter(&why);
  watch_again_->Schedule(delay);
  const std::string reason = why.ok() ? "the control plane ended it" : why.ToString();
  const absl::optional<uint64_t> unsaid = losses_said_.Admit(reason, loop_->Now());
  log_->Log(unsaid.has_value() ? LogLevel::kWarning : LogLevel::kDebug, "trust bundle stream lost",
            {{"reason", reason},
             {"not_logged", unsaid.value_or(0)},
             {"retry_in", absl::FormatDuration(delay)}});
}

void ByrnieCaClient::AcknowledgeTrustBundles(uint64_t version) {
  DCHECK(loop_->InLoopThread());
  acknowledged_version_ = version;
  if (watch_ != nullptr) watch_->Send(State());
}

void ByrnieCaClient::OnQuestion(uint64_t question) {
  // The answer may come when the stream, or this, is gone.
  ask_proxy_([weak = std::weak_ptr<ByrnieCaClient*>(self_), question,
              number = watch_number_](ProxyPresence presence) {
    const std::shared_ptr<ByrnieCaClient*> self = weak.lock();
    if (self == nullptr || (*self)->watch_ == nullptr || (*self)->watch_number_ != number) return;
    ca::v1::WatchTrustBundlesRequest request = (*self)->State();
    request.set_answer(question);
    request.set_has_proxy(presence != ProxyPresence::kNone);
    request.set_proxy_answers(presence == ProxyPresence::kAnswers);
    (*self)->watch_->Send(std::move(request));
  });
}

ca::v1::WatchTrustBundlesRequest ByrnieCaClient::State() const {
  ca::v1::WatchTrustBundlesRequest request;
  request.set_acknowledged_version(acknowledged_version_);
  request.set_answers_questions(true);
  const absl::Time now = loop_->WallNow();
  request.mutable_sent_at()->set_seconds(absl::ToUnixSeconds(now));
  request.mutable_sent_at()->set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(now - absl::FromUnixSeconds(absl::ToUnixSeconds(now)))));
  return request;
}

}  // namespace byrnie
