#ifndef BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_STORE_H_
#define BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_STORE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "controlplane/store/etcd/etcd_options.h"
#include "controlplane/store/store.h"

namespace byrnie {

// A Store in an etcd, which many control planes may share. Under the prefix of the options there
// are "entries/", what Store keeps, and "commits/", the marks of EtcdCommitter; nobody else writes
// there.
//
// Every call goes to one member and to the next when that does not answer. While none does, calls
// fail at once but for one that finds out (OutageGate). The store takes changes and answers as long
// as a majority of the members lives.
class EtcdStore {
 public:
  // Looks whether the etcd answers. Unavailable when it does not within seconds, with what to do.
  // The clock outlives the store.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const EtcdOptions& options,
                                                     const Clock* clock);
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_STORE_H_
