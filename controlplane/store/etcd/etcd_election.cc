#include "controlplane/store/etcd/etcd_election.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

// A third of the lease's life: two signs of life may get lost.
const absl::Duration kBeat = EtcdElection::kLeaseLife / 3;

}  // namespace

EtcdElection::EtcdElection(EtcdClient* client, const std::string& entries_prefix, std::string key)
    : client_(client),
      key_(std::move(key)),
      etcd_key_(absl::StrCat(entries_prefix, key_)),
      thread_([this] { Run(); }) {}

EtcdElection::~EtcdElection() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  stopped_.NotifyAll();
  thread_.join();
}

absl::optional<StoreCondition> EtcdElection::Leading() const {
  const absl::Duration now = client_->clock().MonotonicNow();
  absl::MutexLock lock(&mu_);
  if (revision_ == 0 || now >= until_) return absl::nullopt;
  return StoreCondition{key_, revision_};
}

void EtcdElection::Run() {
  while (true) {
    if (Live()) Stand();
    absl::MutexLock lock(&mu_);
    const auto stopping = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_; };
    if (stopped_.AwaitWithTimeout(&mu_, kBeat, stopping)) break;
  }
  Resign();
}

bool EtcdElection::Live() {
  // From before the call: the lease lives longer than we think.
  const absl::Duration now = client_->clock().MonotonicNow();
  int64_t seconds = 0;
  if (lease_ == 0) {
    etcdserverpb::LeaseGrantRequest request;
    request.set_ttl(absl::ToInt64Seconds(kLeaseLife));
    etcdserverpb::LeaseGrantResponse response;
    const EtcdClient::Outcome granted =
        client_->Try(now + EtcdClient::kAttempt,
                     [&](const EtcdClient::Member& member, grpc::ClientContext* context) {
                       return member.lease->LeaseGrant(context, request, &response);
                     });
    if (!granted.status.ok()) return false;
    lease_ = response.id();
    seconds = response.ttl();
  } else {
    etcdserverpb::LeaseKeepAliveRequest request;
    request.set_id(lease_);
    etcdserverpb::LeaseKeepAliveResponse response;
    const EtcdClient::Outcome kept = client_->Try(
        now + EtcdClient::kAttempt,
        [&](const EtcdClient::Member& member, grpc::ClientContext* context) {
          const auto stream = member.lease->LeaseKeepAlive(context);
          const bool answered = stream->Write(request) && stream->Read(&response);
          stream->WritesDone();
          const grpc::Status status = stream->Finish();
          return answered      ? grpc::Status::OK
                 : status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "no sign of life")
                               : status;
        });
    if (!kept.status.ok()) return false;
    seconds = response.ttl();
  }
  absl::MutexLock lock(&mu_);
  if (seconds <= 0) {
    // It has ended, and the key with it.
    lease_ = 0;
    revision_ = 0;
    return false;
  }
  until_ = now + absl::Seconds(seconds);
  return true;
}

void EtcdElection::Stand() {
  etcdserverpb::TxnRequest request;
  etcdserverpb::Compare* const absent = request.add_compare();
  absent->set_key(etcd_key_);
  absent->set_target(etcdserverpb::Compare::CREATE);
  absent->set_create_revision(0);
  etcdserverpb::PutRequest* const put = request.add_success()->mutable_request_put();
  put->set_key(etcd_key_);
  put->set_lease(lease_);
  request.add_failure()->mutable_request_range()->set_key(etcd_key_);
  etcdserverpb::TxnResponse response;
  const EtcdClient::Outcome stood =
      client_->Try(client_->clock().MonotonicNow() + EtcdClient::kAttempt,
                   [&](const EtcdClient::Member& member, grpc::ClientContext* context) {
                     return member.kv->Txn(context, request, &response);
                   });
  // Without an answer what was true before stays true as long as the lease lives.
  if (absl::IsUnavailable(stood.status)) return;
  int64_t revision = 0;
  if (stood.status.ok() && response.succeeded()) {
    revision = response.header().revision();
  } else if (stood.status.ok() && response.responses(0).response_range().kvs_size() > 0) {
    // Ours, also when an answer got lost.
    const mvccpb::KeyValue& kv = response.responses(0).response_range().kvs(0);
    if (kv.lease() == lease_) revision = kv.mod_revision();
  }
  absl::MutexLock lock(&mu_);
  revision_ = revision;
}

void EtcdElection::Resign() {
  {
    absl::MutexLock lock(&mu_);
    revision_ = 0;
  }
  if (lease_ == 0) return;
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(lease_);
  etcdserverpb::LeaseRevokeResponse response;
  // Else it ends by itself.
  client_->Try(client_->clock().MonotonicNow() + EtcdClient::kAttempt / 2,
               [&](const EtcdClient::Member& member, grpc::ClientContext* context) {
                 return member.lease->LeaseRevoke(context, request, &response);
               });
}

}  // namespace byrnie
