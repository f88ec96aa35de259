#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_LISTENER_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_LISTENER_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "certagent/workload_api/caller_table.h"
#include "certagent/workload_api/workload_metrics.h"
#include "common/base/unique_fd.h"
#include "common/event/event_loop.h"
#include "common/net/tcp_stream.h"
#include "common/net/unix_listener.h"
#include "common/telemetry/log.h"

namespace byrnie {

// The Unix socket of the workload's APIs: accepts, learns from the kernel who is there
// (SO_PEERCRED), and hands connections on. Those of users who have no identity here are handed on
// as well, a few of them, so that they are told PermissionDenied as the standard wants; what they
// may do is nothing (CallerTable). Lives on one loop. The socket's file is removed with it.
class WorkloadListener {
 public:
  struct Options {
    std::string path;
    // Who may have the workload's identity; empty: this process's own user alone.
    std::vector<uid_t> uids;
    bool any_uid = false;
    // Open connections of one user, and of all users that are refused together.
    size_t max_connections_per_uid = 64;
    size_t max_refused_connections = 8;
  };
  // Takes over a connected, non-blocking socket.
  using ConnectionCallback = absl::AnyInvocable<void(UniqueFd)>;

  // Errors as UnixListener::Create. Pointers outlive it.
  static absl::StatusOr<std::unique_ptr<WorkloadListener>> Create(EventLoop* loop, Options options,
                                                                  CallerTable* callers,
                                                                  ConnectionCallback on_connection,
                                                                  WorkloadMetrics* metrics,
                                                                  Logger* log);
  WorkloadListener(const WorkloadListener&) = delete;
  WorkloadListener& operator=(const WorkloadListener&) = delete;
  ~WorkloadListener();

 private:
  struct Connection {
    int fd;  // The number handed on, for the table.
    uint64_t ticket;
    uid_t counted_as;
    UniqueFd copy;  // Tells of the connection's end, whoever closes it.
    std::unique_ptr<EventLoop::FdWatch> watch;
  };

  WorkloadListener(EventLoop* loop, Options options, CallerTable* callers,
                   ConnectionCallback on_connection, WorkloadMetrics* metrics, Logger* log);
  bool Allowed(uid_t uid) const;
  void OnAccept(const TcpStream& stream);
  void Hand(const TcpStream& stream, uid_t counted_as, bool allowed);
  void Forget(uint64_t ticket);

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  CallerTable* const callers_;  // Not owned.
  ConnectionCallback on_connection_;
  WorkloadMetrics* const metrics_;  // Not owned.
  Logger* const log_;               // Not owned.
  std::unique_ptr<UnixListener> listener_;
  std::map<uint64_t, Connection> connections_;  // By ticket.
  std::map<uid_t, size_t> per_uid_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_WORKLOAD_LISTENER_H_
