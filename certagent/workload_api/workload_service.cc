#include "certagent/workload_api/workload_service.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "certagent/workload_api/workload_messages.h"
#include "common/base/status_macros.h"
#include "common/grpc/push_stream.h"
#include "common/grpc/status_conversion.h"
#include "common/identity/jwt_svid.h"
#include "google/protobuf/util/json_util.h"

namespace byrnie {
namespace {

constexpr char kSecurityHeader[] = "workload.spiffe.io";

// By its standard the header keeps requests away that a page or a proxy was made to send here.
bool HasSecurityHeader(const grpc::ServerContextBase& context) {
  const auto range = context.client_metadata().equal_range(kSecurityHeader);
  return range.first != range.second && std::next(range.first) == range.second &&
         range.first->second == "true";
}

X509BundlesResponse X509Bundles(const WorkloadState& state) {
  return MakeX509BundlesResponse(state.snapshot->bundles());
}

JWTBundlesResponse JwtBundles(const WorkloadState& state) {
  return MakeJwtBundlesResponse(state.snapshot->bundles());
}

void Wipe(X509SVIDResponse* response) { WipeKeys(response); }
void Wipe(X509BundlesResponse*) {}
void Wipe(JWTBundlesResponse*) {}

}  // namespace

// Sends what `make` says of each state.
template <typename Response>
class WorkloadService::Stream final
    : public PushWriter<grpc::ServerWriteReactor<Response>, Response> {
 public:
  using Base = PushWriter<grpc::ServerWriteReactor<Response>, Response>;
  Stream(grpc::CallbackServerContext* context, WorkloadService* service,
         Response (*make)(const WorkloadState&))
      : Base(context, service->streams_), service_(service), make_(make) {}

 private:
  absl::optional<Response> NextResponse() override {
    const WorkloadStatePtr state = service_->state_.get();
    if (state->snapshot->generation() == sent_generation_) return absl::nullopt;
    sent_generation_ = state->snapshot->generation();
    service_->metrics_->updates->Increment();
    return make_(*state);
  }
  void OnWritten(Response* response) override { Wipe(response); }

  WorkloadService* const service_;  // Not owned.
  Response (*const make_)(const WorkloadState&);
  uint64_t sent_generation_ = 0;
};

// A call that waits for a token. Answered once, by whoever comes first. Thread-safe.
class WorkloadService::TokenCall {
 public:
  TokenCall(grpc::ServerUnaryReactor* reactor, JWTSVIDResponse* response)
      : reactor_(reactor), response_(response) {}

  bool open() const {
    absl::MutexLock lock(&mu_);
    return reactor_ != nullptr;
  }
  // `token` null with an error.
  void Finish(const absl::Status& status, absl::string_view id = {},
              const JwtSvidCache::Token* token = nullptr) {
    absl::MutexLock lock(&mu_);
    if (reactor_ == nullptr) return;
    if (token != nullptr) {
      JWTSVID* svid = response_->add_svids();
      svid->set_spiffe_id(std::string(id));
      svid->set_svid(token->svid.view().data(), token->svid.size());
    }
    reactor_->Finish(ToGrpcStatus(status));
    reactor_ = nullptr;
  }

 private:
  mutable absl::Mutex mu_;
  grpc::ServerUnaryReactor* reactor_ ABSL_GUARDED_BY(mu_);  // The library's; null once answered.
  JWTSVIDResponse* const response_;                         // Not owned: as long as the reactor.
};

absl::StatusOr<WorkloadStatePtr> WorkloadService::Admit(
    const grpc::CallbackServerContext& context) const {
  if (!HasSecurityHeader(context)) {
    return absl::InvalidArgumentError("the metadata \"workload.spiffe.io: true\" is missing");
  }
  RETURN_IF_ERROR(callers_->Check(context.peer()));
  WorkloadStatePtr state = state_.get();
  if (state == nullptr) return absl::UnavailableError("there is no certificate yet");
  return state;
}

template <typename Response>
grpc::ServerWriteReactor<Response>* WorkloadService::Open(grpc::CallbackServerContext* context,
                                                          Response (*make)(const WorkloadState&),
                                                          absl::Status status) {
  auto stream = std::make_unique<Stream<Response>>(context, this, make);
  auto* const opened = stream.get();
  if (status.ok()) status = streams_->Open(&stream);
  if (status.ok()) return opened;
  return new RefusedStream<grpc::ServerWriteReactor<Response>>(status);
}

grpc::ServerWriteReactor<X509SVIDResponse>* WorkloadService::FetchX509SVID(
    grpc::CallbackServerContext* context, const X509SVIDRequest*) {
  absl::StatusOr<WorkloadStatePtr> state = Admit(*context);
  absl::Status status = state.status();
  if (status.ok() && (*state)->snapshot->not_after() <= clock_->WallNow()) {
    status = absl::UnavailableError("the certificate has expired and there is no other yet");
  }
  return Open(context, &MakeX509SvidResponse, std::move(status));
}

grpc::ServerWriteReactor<X509BundlesResponse>* WorkloadService::FetchX509Bundles(
    grpc::CallbackServerContext* context, const X509BundlesRequest*) {
  return Open(context, &X509Bundles, Admit(*context).status());
}

grpc::ServerWriteReactor<JWTBundlesResponse>* WorkloadService::FetchJWTBundles(
    grpc::CallbackServerContext* context, const JWTBundlesRequest*) {
  return Open(context, &JwtBundles, Admit(*context).status());
}

grpc::ServerUnaryReactor* WorkloadService::FetchJWTSVID(grpc::CallbackServerContext* context,
                                                        const JWTSVIDRequest* request,
                                                        JWTSVIDResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  auto call = std::make_shared<TokenCall>(reactor, response);
  const absl::Status status = BeginTokenCall(*context, *request, call);
  if (!status.ok()) call->Finish(status);
  return reactor;
}

absl::Status WorkloadService::BeginTokenCall(const grpc::CallbackServerContext& context,
                                             const JWTSVIDRequest& request,
                                             std::shared_ptr<TokenCall> call) {
  ASSIGN_OR_RETURN(WorkloadStatePtr state, Admit(context));
  std::vector<std::string> audience(request.audience().begin(), request.audience().end());
  RETURN_IF_ERROR(CheckJwtAudiences(audience));
  std::string id = state->snapshot->id().text();
  if (!request.spiffe_id().empty() && request.spiffe_id() != id) {
    return absl::PermissionDeniedError("the workload does not have that identity");
  }
  {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(ended_);
    if (calls_.size() >= kMaxCalls) {
      return absl::ResourceExhaustedError("too many JWT-SVIDs are being waited for");
    }
    calls_.insert(call);
  }
  loop_->Post([this, call = std::move(call), id = std::move(id),
               audience = std::move(audience)]() mutable {
    if (!call->open()) return;
    tokens_->Fetch(std::move(audience),
                   [this, call, id = std::move(id)](absl::StatusOr<JwtSvidCache::TokenPtr> token) {
                     if (!call->open()) return;
                     {
                       absl::MutexLock lock(&mu_);
                       calls_.erase(call);
                     }
                     call->Finish(token.status(), id, token.ok() ? token->get() : nullptr);
                   });
  });
  return absl::OkStatus();
}

void WorkloadService::EndCalls(const absl::Status& status) {
  std::set<std::shared_ptr<TokenCall>> calls;
  {
    absl::MutexLock lock(&mu_);
    ended_ = status;
    calls.swap(calls_);
  }
  for (const std::shared_ptr<TokenCall>& call : calls) call->Finish(status);
}

grpc::ServerUnaryReactor* WorkloadService::ValidateJWTSVID(grpc::CallbackServerContext* context,
                                                           const ValidateJWTSVIDRequest* request,
                                                           ValidateJWTSVIDResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(Validate(*context, *request, response)));
  return reactor;
}

absl::Status WorkloadService::Validate(const grpc::CallbackServerContext& context,
                                       const ValidateJWTSVIDRequest& request,
                                       ValidateJWTSVIDResponse* response) const {
  ASSIGN_OR_RETURN(WorkloadStatePtr state, Admit(context));
  if (request.audience().empty() || request.svid().empty()) {
    return absl::InvalidArgumentError("an audience and a token are needed");
  }
  absl::StatusOr<JwtSvid> svid = VerifyJwtSvid(request.svid(), request.audience(),
                                               state->snapshot->bundles(), clock_->WallNow());
  (svid.ok() ? metrics_->jwt_validated : metrics_->jwt_invalid)->Increment();
  if (!svid.ok()) return absl::InvalidArgumentError(svid.status().message());
  response->set_spiffe_id(svid->id.text());
  // It was parsed before, and strictly.
  if (!google::protobuf::util::JsonStringToMessage(svid->claims_json, response->mutable_claims())
           .ok()) {
    return absl::InvalidArgumentError("the claims of the token have no other form");
  }
  return absl::OkStatus();
}

}  // namespace byrnie
