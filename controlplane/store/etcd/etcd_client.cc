#include "controlplane/store/etcd/etcd_client.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/grpc/status_conversion.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace byrnie {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(100);
// How long a stream waits for a member that refuses connections, before it asks the next.
constexpr absl::Duration kRefused = absl::Milliseconds(300);

std::shared_ptr<grpc::ChannelCredentials> Credentials(const EtcdOptions& options) {
  if (!options.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = options.ca_pem;
  tls.pem_cert_chain = options.cert_pem;
  tls.pem_private_key = options.key_pem;
  return grpc::SslCredentials(tls);
}

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  // What etcd sends is bounded by what we have written.
  arguments.SetMaxReceiveMessageSize(-1);
  // A member that is back is found within a second.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // etcd takes a ping every 5 s, and only while there are calls. They find a member whose machine
  // is gone while a watch is open.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 6000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Channels do not share connections.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

std::chrono::system_clock::time_point In(absl::Duration wait) {
  return std::chrono::system_clock::now() + absl::ToChronoMicroseconds(wait);
}

// No answer, so that another member may have one; else what etcd has to say to the call.
bool NoAnswer(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::DATA_LOSS:
      return true;
    default:
      return false;
  }
}

// Waits for a connection; for a member that refuses one, only so long. Nobody but this drives a
// channel that has no call: an attempt to connect that nobody waits for runs out of its time,
// whether the member is back or not.
bool Connect(grpc::Channel* channel, std::chrono::system_clock::time_point deadline,
             absl::Duration refused) {
  const auto refused_until = std::min(deadline, In(refused));
  while (true) {
    const grpc_connectivity_state state = channel->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return true;
    if (state == GRPC_CHANNEL_SHUTDOWN) return false;
    const bool refuses = state == GRPC_CHANNEL_TRANSIENT_FAILURE;
    if (!channel->WaitForStateChange(state, refuses ? refused_until : deadline)) return false;
  }
}

}  // namespace

void RequireLeader(grpc::ClientContext* context) { context->AddMetadata("hasleader", "true"); }

EtcdClient::EtcdClient(const EtcdOptions& options, const Clock* clock)
    : clock_(clock), where_(absl::StrJoin(options.endpoints, ", ")) {
  const std::shared_ptr<grpc::ChannelCredentials> credentials = Credentials(options);
  for (const std::string& endpoint : options.endpoints) {
    Member member;
    member.endpoint = endpoint;
    member.channel = grpc::CreateCustomChannel(endpoint, credentials, Arguments());
    member.kv = etcdserverpb::KV::NewStub(member.channel);
    member.watch = etcdserverpb::Watch::NewStub(member.channel);
    member.lease = etcdserverpb::Lease::NewStub(member.channel);
    members_.push_back(std::move(member));
  }
}

size_t EtcdClient::preferred() const {
  absl::MutexLock lock(&mu_);
  return preferred_;
}

void EtcdClient::OnFailed(const Member& member) {
  const size_t index = static_cast<size_t>(&member - members_.data());
  absl::MutexLock lock(&mu_);
  // Of several calls that fail there together one moves on.
  if (preferred_ == index) preferred_ = (index + 1) % members_.size();
}

const EtcdClient::Member* EtcdClient::Connected(absl::Duration deadline) {
  return Connected(deadline, kRefused);
}

const EtcdClient::Member* EtcdClient::Connected(absl::Duration deadline, absl::Duration refused) {
  const Member& member = members_[preferred()];
  const absl::Duration wait = std::min(deadline - clock_->MonotonicNow(), kAttempt / 2);
  if (Connect(member.channel.get(), In(wait), refused)) return &member;
  OnFailed(member);
  return nullptr;
}

EtcdClient::Outcome EtcdClient::Try(absl::Duration deadline, Call call) {
  const Member* const member = Connected(deadline, absl::ZeroDuration());
  if (member == nullptr) {
    return {absl::UnavailableError(absl::StrCat("no connection to any of ", where_)), false};
  }
  grpc::ClientContext context;
  context.set_deadline(In(std::min(deadline - clock_->MonotonicNow(), kAttempt)));
  RequireLeader(&context);
  const grpc::Status status = call(*member, &context);
  if (status.ok() || !NoAnswer(status.error_code())) return {FromGrpcStatus(status), false};
  OnFailed(*member);
  return {absl::UnavailableError(absl::StrCat(member->endpoint, ": ", status.error_message())),
          true};
}

bool EtcdClient::Pause(absl::Duration deadline) const {
  if (clock_->MonotonicNow() + kPause >= deadline) return false;
  const std::chrono::system_clock::time_point end = In(kPause);
  if (Connect(members_[preferred()].channel.get(), end, kPause)) {
    std::this_thread::sleep_until(end);
  }
  return true;
}

absl::Status EtcdClient::Retry(absl::Duration deadline, Call call) {
  while (true) {
    const Outcome outcome = Try(deadline, call);
    if (!absl::IsUnavailable(outcome.status)) return outcome.status;
    if (!Pause(deadline)) return outcome.status;
  }
}

}  // namespace byrnie
