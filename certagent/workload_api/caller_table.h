#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_CALLER_TABLE_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_CALLER_TABLE_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace byrnie {

// Which connections may use the workload's APIs. gRPC tells a method nothing about a connection it
// was given but a name made of its descriptor's number, "fd:7"; the kernel told us who is there.
// Whoever is not known may do nothing. Thread-safe.
class CallerTable {
 public:
  // Before gRPC is given the descriptor. Replaces what is known of an earlier one of the same
  // number; returns a ticket for Remove.
  uint64_t Add(int fd, bool allowed);
  // Forgets the connection, unless its number belongs to a later one by now.
  void Remove(int fd, uint64_t ticket);

  // PermissionDenied unless the connection named by `grpc_peer` is allowed.
  absl::Status Check(const std::string& grpc_peer) const;

 private:
  struct Entry {
    uint64_t ticket;
    bool allowed;
  };
  mutable absl::Mutex mu_;
  uint64_t last_ticket_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_CALLER_TABLE_H_
