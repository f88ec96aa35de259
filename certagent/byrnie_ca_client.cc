#include "certagent/byrnie_ca_client.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "certagent/ca_messages.h"
#include "certagent/grpc_bidi_stream.h"
#include "common/base/check.h"
#include "common/base/file.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "common/grpc/status_conversion.h"
#include "grpcpp/client_context.h"

namespace byrnie {
namespace {

constexpr size_t kMaxTokenSize = 16 * 1024;

Backoff::Options WatchBackoff() {
  Backoff::Options options;
  options.initial = absl::Milliseconds(500);
  options.max = absl::Seconds(15);
  options.jitter = 0.5;
  return options;
}

// The token in `path`, without surrounding white space.
absl::StatusOr<SecretBytes> ReadToken(const std::string& path) {
  ASSIGN_OR_RETURN(SecretBytes content, ReadSecretFile(path, kMaxTokenSize));
  absl::string_view token = absl::StripAsciiWhitespace(content.view());
  if (token.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "the token file ", path, " is empty; write one there that byrniectl token create made"));
  }
  // What is no visible ASCII would be refused by the library with a message that quotes it.
  if (!std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the token file ", path, " holds more than one line of visible ASCII"));
  }
  return SecretBytes(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(token.data()), token.size()));
}

}  // namespace

constexpr absl::Duration ByrnieCaClient::kIssueTimeout;

// Shared with gRPC's thread until the call is over.
struct ByrnieCaClient::IssueCall {
  std::unique_ptr<ca::v1::CertificateAuthority::Stub> stub;
  grpc::ClientContext context;
  ca::v1::IssueRequest request;
  ca::v1::IssueResponse response;
  IssueCallback done;  // The loop's.
  absl::Mutex mutex;
  bool abandoned ABSL_GUARDED_BY(mutex) = false;  // The client is gone, the loop perhaps, too.
};

ByrnieCaClient::ByrnieCaClient(EventLoop* loop, ControlPlaneConnector* connector,
                               std::string token_path, Logger* log, absl::BitGenRef random)
    : loop_(loop),
      connector_(connector),
      token_path_(std::move(token_path)),
      log_(log),
      watch_backoff_(WatchBackoff(), random),
      watch_again_(loop->NewTimer([this] { OpenWatch(); })) {}

ByrnieCaClient::~ByrnieCaClient() {
  for (const std::shared_ptr<IssueCall>& call : calls_) {
    {
      absl::MutexLock lock(&call->mutex);
      call->abandoned = true;
    }
    call->context.TryCancel();
  }
}

void ByrnieCaClient::Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
                           IssueCallback done) {
  DCHECK(loop_->InLoopThread());
  auto call = std::make_shared<IssueCall>();
  call->done = std::move(done);
  call->request.set_csr(std::move(csr_der));
  if (ttl > absl::ZeroDuration()) {
    call->request.mutable_ttl()->set_seconds(absl::ToInt64Seconds(ttl));
  }
  calls_.push_back(call);
  // On every path the result comes by Post: never inside this call, never twice.
  auto report = [this, call](absl::Status status) {
    absl::MutexLock lock(&call->mutex);
    if (call->abandoned) return;
    loop_->Post([this, call, status = std::move(status)] {
      {
        absl::MutexLock lock(&call->mutex);
        if (call->abandoned) return;
      }
      OnIssueDone(call, status);
    });
  };
  absl::Status prepared = Prepare(identity, call.get());
  if (!prepared.ok()) return report(std::move(prepared));
  call->stub->async()->Issue(
      &call->context, &call->request, &call->response,
      [report](grpc::Status status) mutable { report(FromGrpcStatus(status)); });
}

absl::Status ByrnieCaClient::Prepare(const ClientIdentityPtr& identity, IssueCall* call) {
  if (identity == nullptr) {
    ASSIGN_OR_RETURN(SecretBytes token, ReadToken(token_path_));
    std::string value = absl::StrCat("Bearer ", token.view());
    call->context.AddMetadata("authorization", value);
    WipeString(&value);
  }
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, connector_->NewChannel(identity));
  call->stub = ca::v1::CertificateAuthority::NewStub(channel);
  call->context.set_deadline(std::chrono::system_clock::now() +
                             absl::ToChronoSeconds(kIssueTimeout));
  return absl::OkStatus();
}

void ByrnieCaClient::OnIssueDone(const std::shared_ptr<IssueCall>& call, absl::Status status) {
  calls_.remove(call);
  IssueCallback done = std::move(call->done);
  if (!status.ok()) return done(std::move(status));
  done(ParseIssueResponse(call->response));
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
  absl::StatusOr<std::shared_ptr<grpc::Channel>> channel =
      connector_->SharedChannel(watch_identity_);
  if (!channel.ok()) return OnWatchClosed(channel.status());
  using Stream =
      GrpcBidiStream<ca::v1::WatchTrustBundlesRequest, ca::v1::WatchTrustBundlesResponse>;
  Stream::Callbacks callbacks;
  callbacks.on_message = [this](ca::v1::WatchTrustBundlesResponse response) {
    watch_backoff_.Reset();
    losses_said_.Reset();
    on_bundles_(ParseTrustBundles(response.trust_bundles()));
  };
  callbacks.on_closed = [this](absl::Status why) { OnWatchClosed(std::move(why)); };
  watch_ = std::make_unique<Stream>(
      loop_,
      [stub = std::shared_ptr<ca::v1::CertificateAuthority::Stub>(
           ca::v1::CertificateAuthority::NewStub(*channel))](grpc::ClientContext* context,
                                                             Stream::Reactor* reactor) {
        stub->async()->WatchTrustBundles(context, reactor);
      },
      std::move(callbacks));
  AcknowledgeTrustBundles(acknowledged_version_);
}

void ByrnieCaClient::OnWatchClosed(absl::Status why) {
  watch_.reset();
  const absl::Duration delay = watch_backoff_.Next();
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
  if (watch_ == nullptr) return;
  ca::v1::WatchTrustBundlesRequest request;
  request.set_acknowledged_version(version);
  watch_->Send(std::move(request));
}

}  // namespace byrnie
