#ifndef BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_COMMITTER_H_
#define BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_COMMITTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "controlplane/store/etcd/etcd_client.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Carries out transactions in an etcd, each once or not at all, although an etcd that dies during a
// call does not say which. Thread-safe.
//
// Every transaction also writes a mark: an entry of its own, which no other process and no other
// transaction at the same time uses, with a number that is the transaction's. It is carried out
// only where the mark is still the one of the transaction before. So the same transaction can be
// sent again, to any member, until there is an answer: if it was carried out already, the second
// one is refused, and the mark has the number. One that is sent again and refused writes into the
// mark that it was, unless the mark says already that it was carried out: so nothing is carried out
// after its caller was told that it is not, and any number of answers may get lost.
//
// Marks go with leases of an hour, so that those of a process that has ended do not stay. A mark
// that is nearly as old as its lease is not used any more.
class EtcdCommitter {
 public:
  // How long an etcd may take to answer at all, and, once a transaction may have been carried out,
  // how long to go on asking.
  static constexpr absl::Duration kPatience = absl::Seconds(5);
  static constexpr absl::Duration kPatienceInDoubt = absl::Seconds(10);

  // Entries are under `entries_prefix`, marks under `marks_prefix`. The client outlives this.
  EtcdCommitter(EtcdClient* client, std::string entries_prefix, std::string marks_prefix);
  EtcdCommitter(const EtcdCommitter&) = delete;
  EtcdCommitter& operator=(const EtcdCommitter&) = delete;

  // As Store::Commit; the transaction has writes. Unavailable also for what etcd refuses.
  absl::StatusOr<int64_t> Commit(const StoreTransaction& transaction);

 private:
  struct Lease {
    int64_t id = 0;
    absl::Duration granted;
  };
  struct Mark {
    std::string key;
    Lease lease;
    // Of the entry; 0: there is none yet.
    int64_t revision = 0;
    // Of the transaction that used it last.
    uint64_t number = 0;
  };

  absl::StatusOr<Lease> CurrentLease(absl::Duration deadline);
  Mark TakeMark();
  void GiveBack(Mark mark);
  void ForgetMarks();
  etcdserverpb::TxnRequest Request(const StoreTransaction& transaction, const Mark& mark,
                                   const Lease& lease) const;
  // What the answer means, and what becomes of the mark. `again`: it is of a request that was sent
  // after another one.
  absl::StatusOr<int64_t> Conclude(const etcdserverpb::TxnResponse& response, Mark mark,
                                   const Lease& lease, bool again);

  EtcdClient* const client_;  // Not owned.
  const std::string entries_prefix_;
  const std::string marks_prefix_;
  absl::Mutex mu_;
  Lease lease_ ABSL_GUARDED_BY(mu_);
  // Not in use now.
  std::vector<Mark> marks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_COMMITTER_H_
