#include "controlplane/store/etcd/etcd_store.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"
#include "controlplane/store/etcd/etcd_client.h"
#include "controlplane/store/etcd/etcd_committer.h"
#include "controlplane/store/etcd/etcd_election.h"
#include "controlplane/store/etcd/etcd_watch.h"
#include "controlplane/store/etcd/outage_gate.h"

namespace byrnie {
namespace {

// How long a read may take.
constexpr absl::Duration kPatience = absl::Seconds(5);

class EtcdStoreImpl final : public Store {
 public:
  EtcdStoreImpl(const EtcdOptions& options, const Clock* clock)
      : entries_(absl::StrCat(options.prefix, "entries/")),
        client_(options, clock),
        committer_(&client_, entries_, absl::StrCat(options.prefix, "commits/")) {}

  absl::StatusOr<absl::optional<StoreEntry>> Get(absl::string_view key) override {
    etcdserverpb::RangeRequest request;
    request.set_key(absl::StrCat(entries_, key));
    ASSIGN_OR_RETURN(etcdserverpb::RangeResponse response, Range(request));
    if (response.kvs_size() == 0) return absl::optional<StoreEntry>();
    return absl::optional<StoreEntry>(TakeEntry(response.mutable_kvs(0)));
  }

  absl::StatusOr<Page> List(absl::string_view prefix, absl::string_view after_key,
                            int limit) override {
    etcdserverpb::RangeRequest request;
    request.set_key(absl::StrCat(entries_, StorePageStart(prefix, after_key)));
    request.set_range_end(StorePrefixEnd(absl::StrCat(entries_, prefix)));
    request.set_limit(std::clamp(limit, 1, kMaxPage));
    ASSIGN_OR_RETURN(etcdserverpb::RangeResponse response, Range(request));
    Page page;
    page.revision = response.header().revision();
    page.more = response.more();
    for (mvccpb::KeyValue& kv : *response.mutable_kvs()) page.entries.push_back(TakeEntry(&kv));
    return page;
  }

  absl::StatusOr<int64_t> Count(absl::string_view prefix) override {
    const std::string start = absl::StrCat(entries_, prefix);
    etcdserverpb::RangeRequest request;
    request.set_key(start);
    request.set_range_end(StorePrefixEnd(start));
    request.set_count_only(true);
    ASSIGN_OR_RETURN(const etcdserverpb::RangeResponse response, Range(request));
    return response.count();
  }

  absl::StatusOr<int64_t> Commit(const StoreTransaction& transaction) override {
    RETURN_IF_ERROR(transaction.Check());
    OutageGate::Pass pass(&gate_);
    RETURN_IF_ERROR(pass.refusal());
    absl::StatusOr<int64_t> revision = transaction.writes().empty()
                                           ? CheckConditions(transaction)
                                           : committer_.Commit(transaction);
    pass.Ended(WhyNoAnswer(revision.status()));
    if (revision.ok() || absl::IsAborted(revision.status())) return revision;
    if (absl::IsUnknown(revision.status())) return revision;
    return Away(revision.status());
  }

  std::unique_ptr<StoreWatch> Watch(absl::string_view prefix, StoreListener* listener) override {
    return std::make_unique<EtcdWatch>(&client_, entries_, prefix, listener);
  }

  std::unique_ptr<StoreElection> Campaign(absl::string_view name) override {
    return std::make_unique<EtcdElection>(&client_, entries_, absl::StrCat("elections/", name));
  }

 private:
  StoreEntry TakeEntry(mvccpb::KeyValue* kv) const {
    StoreEntry entry{kv->key().substr(entries_.size()), kv->value(), kv->mod_revision()};
    WipeString(kv->mutable_value());
    return entry;
  }

  // OK for every answer, also that it refuses: one that is full is read from all the same.
  absl::Status WhyNoAnswer(const absl::Status& status) const {
    const bool away =
        absl::IsUnavailable(status) || absl::IsUnknown(status) || absl::IsDeadlineExceeded(status);
    return away ? Away(status) : absl::OkStatus();
  }

  // Whatever keeps an etcd from answering, for whoever asked.
  absl::Status Away(const absl::Status& status) const {
    if (absl::IsResourceExhausted(status)) {
      return absl::UnavailableError(
          absl::StrCat("store: etcd (", client_.where(), ") takes no more: ", status.message(),
                       "; make room there (compact, defragment, disarm the alarm); nothing was "
                       "changed"));
    }
    if (absl::IsUnavailable(status) || absl::IsUnknown(status)) {
      return absl::UnavailableError(
          absl::StrCat("store: etcd (", client_.where(), ") does not answer: ", status.message(),
                       "; see whether most of its members run and can be reached; nothing was "
                       "changed"));
    }
    return absl::UnavailableError(absl::StrCat(
        "store: etcd (", client_.where(), ") refuses: ", status.ToString(),
        "; where its authentication is on, the common name of --etcd_cert has to be one of its "
        "users, who may read and write all below the path of --store; nothing was changed"));
  }

  absl::StatusOr<etcdserverpb::RangeResponse> Range(const etcdserverpb::RangeRequest& request) {
    OutageGate::Pass pass(&gate_);
    RETURN_IF_ERROR(pass.refusal());
    etcdserverpb::RangeResponse response;
    const absl::Status status =
        client_.Retry(client_.clock().MonotonicNow() + kPatience,
                      [&](const EtcdClient::Member& member, grpc::ClientContext* context) {
                        return member.kv->Range(context, request, &response);
                      });
    pass.Ended(WhyNoAnswer(status));
    if (!status.ok()) return Away(status);
    return response;
  }

  // A transaction without writes may be carried out any number of times.
  absl::StatusOr<int64_t> CheckConditions(const StoreTransaction& transaction) {
    etcdserverpb::TxnRequest request;
    for (const StoreCondition& condition : transaction.conditions()) {
      etcdserverpb::Compare* const compare = request.add_compare();
      compare->set_key(absl::StrCat(entries_, condition.key));
      compare->set_target(etcdserverpb::Compare::MOD);
      compare->set_mod_revision(condition.revision);
    }
    etcdserverpb::TxnResponse response;
    RETURN_IF_ERROR(
        client_.Retry(client_.clock().MonotonicNow() + kPatience,
                      [&](const EtcdClient::Member& member, grpc::ClientContext* context) {
                        return member.kv->Txn(context, request, &response);
                      }));
    if (!response.succeeded()) return absl::AbortedError("store: an entry has changed");
    return response.header().revision();
  }

  const std::string entries_;
  EtcdClient client_;
  OutageGate gate_;
  EtcdCommitter committer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> EtcdStore::Open(const EtcdOptions& options,
                                                       const Clock* clock) {
  auto store = std::make_unique<EtcdStoreImpl>(options, clock);
  RETURN_IF_ERROR(store->Count("").status());
  return store;
}

}  // namespace byrnie
