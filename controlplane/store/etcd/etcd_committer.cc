#include "controlplane/store/etcd/etcd_committer.h"

#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr absl::Duration kLeaseLife = absl::Hours(1);
// A lease is replaced by a new one long before a mark that is written with it is too old.
constexpr absl::Duration kLeaseUse = absl::Minutes(20);
constexpr absl::Duration kMarkUse = absl::Minutes(40);

std::string NewMarkKey(absl::string_view prefix) {
  absl::BitGen random;
  return absl::StrFormat("%s%016x%016x", prefix, absl::Uniform<uint64_t>(random),
                         absl::Uniform<uint64_t>(random));
}

std::string DoneValue(uint64_t number) { return absl::StrCat(number); }
std::string RefusedValue(uint64_t number) { return absl::StrCat(number, " refused"); }

void PutMark(const std::string& key, std::string value, int64_t lease,
             etcdserverpb::RequestOp* op) {
  etcdserverpb::PutRequest* const put = op->mutable_request_put();
  put->set_key(key);
  put->set_value(std::move(value));
  put->set_lease(lease);
}

// The entry has exactly that revision; 0: there is none.
void RequireRevision(const std::string& key, int64_t revision, etcdserverpb::TxnRequest* request) {
  etcdserverpb::Compare* const compare = request->add_compare();
  compare->set_key(key);
  compare->set_result(etcdserverpb::Compare::EQUAL);
  compare->set_target(etcdserverpb::Compare::MOD);
  compare->set_mod_revision(revision);
}

void WipeValues(etcdserverpb::TxnRequest* request) {
  for (etcdserverpb::RequestOp& op : *request->mutable_success()) {
    if (op.has_request_put()) WipeString(op.mutable_request_put()->mutable_value());
  }
}

}  // namespace

EtcdCommitter::EtcdCommitter(EtcdClient* client, std::string entries_prefix,
                             std::string marks_prefix)
    : client_(client),
      entries_prefix_(std::move(entries_prefix)),
      marks_prefix_(std::move(marks_prefix)) {}

absl::StatusOr<EtcdCommitter::Lease> EtcdCommitter::CurrentLease(absl::Duration deadline) {
  // From before the call: the lease is younger than we think.
  const absl::Duration now = client_->clock().MonotonicNow();
  {
    absl::MutexLock lock(&mu_);
    if (lease_.id != 0 && now - lease_.granted < kLeaseUse) return lease_;
  }
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(absl::ToInt64Seconds(kLeaseLife));
  etcdserverpb::LeaseGrantResponse response;
  // One that nobody learns of ends by itself.
  RETURN_IF_ERROR(
      client_->Retry(deadline, [&](const EtcdClient::Member& member, grpc::ClientContext* context) {
        return member.lease->LeaseGrant(context, request, &response);
      }));
  absl::MutexLock lock(&mu_);
  lease_ = {response.id(), now};
  return lease_;
}

EtcdCommitter::Mark EtcdCommitter::TakeMark() {
  const absl::Duration now = client_->clock().MonotonicNow();
  absl::MutexLock lock(&mu_);
  while (!marks_.empty()) {
    Mark mark = std::move(marks_.back());
    marks_.pop_back();
    if (mark.revision == 0 || now - mark.lease.granted < kMarkUse) return mark;
  }
  Mark mark;
  mark.key = NewMarkKey(marks_prefix_);
  return mark;
}

void EtcdCommitter::GiveBack(Mark mark) {
  absl::MutexLock lock(&mu_);
  marks_.push_back(std::move(mark));
}

void EtcdCommitter::ForgetMarks() {
  absl::MutexLock lock(&mu_);
  marks_.clear();
  lease_ = {};
}

etcdserverpb::TxnRequest EtcdCommitter::Request(const StoreTransaction& transaction,
                                                const Mark& mark, const Lease& lease) const {
  etcdserverpb::TxnRequest request;
  RequireRevision(mark.key, mark.revision, &request);
  for (const StoreCondition& condition : transaction.conditions()) {
    RequireRevision(absl::StrCat(entries_prefix_, condition.key), condition.revision, &request);
  }
  PutMark(mark.key, DoneValue(mark.number), lease.id, request.add_success());
  for (const StoreWrite& write : transaction.writes()) {
    const std::string key = absl::StrCat(entries_prefix_, write.key);
    if (write.value.has_value()) {
      etcdserverpb::PutRequest* const put = request.add_success()->mutable_request_put();
      put->set_key(key);
      put->set_value(*write.value);
    } else {
      request.add_success()->mutable_request_delete_range()->set_key(key);
    }
  }
  request.add_failure()->mutable_request_range()->set_key(mark.key);
  return request;
}

absl::StatusOr<int64_t> EtcdCommitter::Commit(const StoreTransaction& transaction) {
  const absl::Duration began = client_->clock().MonotonicNow();
  absl::Duration deadline = began + kPatience;
  // The monotonic clock stops while a machine sleeps, leases go on.
  const absl::Time latest = client_->clock().WallNow() + kLeaseUse;
  ASSIGN_OR_RETURN(const Lease lease, CurrentLease(deadline));
  Mark mark = TakeMark();
  ++mark.number;
  etcdserverpb::TxnRequest request = Request(transaction, mark, lease);
  // Some attempt may have been carried out, or be carried out yet.
  bool in_doubt = false;
  EtcdClient::Outcome outcome;
  etcdserverpb::TxnResponse response;
  do {
    response.Clear();
    outcome =
        client_->Try(deadline, [&](const EtcdClient::Member& member, grpc::ClientContext* context) {
          return member.kv->Txn(context, request, &response);
        });
    if (outcome.in_doubt && !in_doubt) {
      in_doubt = true;
      deadline = began + kPatienceInDoubt;
      etcdserverpb::TxnRequest* const fence =
          request.mutable_failure(0)->mutable_request_txn();  // In place of the mere look.
      RequireRevision(mark.key, mark.revision, fence);
      PutMark(mark.key, RefusedValue(mark.number), lease.id, fence->add_success());
      fence->add_failure()->mutable_request_range()->set_key(mark.key);
    }
  } while (absl::IsUnavailable(outcome.status) && client_->Pause(deadline) &&
           client_->clock().WallNow() < latest);
  WipeValues(&request);

  if (!outcome.status.ok()) {
    // The mark is not known any more, so it is not used again.
    if (in_doubt) {
      return absl::UnknownError(absl::StrCat(
          "store: etcd went away during a write, and whether it was done is not known (",
          outcome.status.message(), ")"));
    }
    // The lease has gone, which nothing but another state of the etcd explains.
    if (absl::IsNotFound(outcome.status)) ForgetMarks();
    return outcome.status;
  }
  return Conclude(response, std::move(mark), lease, in_doubt);
}

absl::StatusOr<int64_t> EtcdCommitter::Conclude(const etcdserverpb::TxnResponse& response,
                                                Mark mark, const Lease& lease, bool again) {
  const absl::Status refusal = absl::AbortedError("store: an entry has changed");
  const int64_t now = response.header().revision();
  const auto give_back = [&](int64_t revision, const Lease& written_with) {
    mark.revision = revision;
    mark.lease = written_with;
    GiveBack(std::move(mark));
  };
  if (response.succeeded()) {
    give_back(now, lease);
    return now;
  }
  const etcdserverpb::ResponseOp* look = &response.responses(0);
  if (again) {
    const etcdserverpb::TxnResponse& fence = look->response_txn();
    if (fence.succeeded()) {
      give_back(now, lease);
      return refusal;
    }
    look = &fence.responses(0);
  }
  const etcdserverpb::RangeResponse& range = look->response_range();
  const int64_t revision = range.kvs_size() == 0 ? 0 : range.kvs(0).mod_revision();
  const std::string value = range.kvs_size() == 0 ? "" : range.kvs(0).value();
  if (again && (value == DoneValue(mark.number) || value == RefusedValue(mark.number))) {
    const bool done = value == DoneValue(mark.number);
    give_back(revision, lease);
    if (done) return revision;
    return refusal;
  }
  if (!again && revision == mark.revision) {
    give_back(revision, mark.lease);
    return refusal;
  }
  // Somebody has taken the mark away, or the etcd is in an earlier state.
  ForgetMarks();
  if (again) {
    return absl::UnknownError(absl::StrCat("store: etcd has lost \"", mark.key,
                                           "\", and whether a write was done is not known"));
  }
  return absl::UnavailableError(
      absl::StrCat("store: etcd has lost \"", mark.key, "\"; nothing was written, try again"));
}

}  // namespace byrnie
