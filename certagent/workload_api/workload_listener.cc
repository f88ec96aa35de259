#include "certagent/workload_api/workload_listener.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/net/peer_credentials.h"

namespace byrnie {
namespace {

// All users that are refused count as this one, which no process has.
constexpr uid_t kRefused = static_cast<uid_t>(-1);

}  // namespace

absl::StatusOr<std::unique_ptr<WorkloadListener>> WorkloadListener::Create(
    EventLoop* loop, Options options, CallerTable* callers, ConnectionCallback on_connection,
    WorkloadMetrics* metrics, Logger* log) {
  // Others than ourselves can only connect where the file lets them; who they are is asked after.
  const mode_t mode = options.uids.empty() && !options.any_uid ? 0600 : 0666;
  std::unique_ptr<WorkloadListener> listener(new WorkloadListener(
      loop, std::move(options), callers, std::move(on_connection), metrics, log));
  WorkloadListener* const self = listener.get();
  ASSIGN_OR_RETURN(
      listener->listener_,
      UnixListener::Create(
          loop, self->options_.path,
          [self](std::unique_ptr<TcpStream> stream) { self->OnAccept(*stream); }, nullptr, mode));
  return listener;
}

WorkloadListener::WorkloadListener(EventLoop* loop, Options options, CallerTable* callers,
                                   ConnectionCallback on_connection, WorkloadMetrics* metrics,
                                   Logger* log)
    : loop_(loop),
      options_(std::move(options)),
      callers_(callers),
      on_connection_(std::move(on_connection)),
      metrics_(metrics),
      log_(log) {}

WorkloadListener::~WorkloadListener() {
  while (!connections_.empty()) Forget(connections_.begin()->first);
}

bool WorkloadListener::Allowed(uid_t uid) const {
  if (options_.any_uid) return true;
  if (options_.uids.empty()) return uid == geteuid();
  return std::find(options_.uids.begin(), options_.uids.end(), uid) != options_.uids.end();
}

void WorkloadListener::OnAccept(const TcpStream& stream) {
  DCHECK(loop_->InLoopThread());
  absl::StatusOr<PeerCredentials> peer = GetPeerCredentials(stream.fd());
  const bool allowed = peer.ok() && Allowed(peer->uid);
  const int64_t uid = peer.ok() ? static_cast<int64_t>(peer->uid) : -1;
  const uid_t counted_as = allowed ? peer->uid : kRefused;
  if (!allowed) {
    metrics_->refused_uid->Increment();
    log_->Warning("workload API refused to a user that has no identity here", {{"uid", uid}});
  }
  const size_t limit =
      allowed ? options_.max_connections_per_uid : options_.max_refused_connections;
  if (per_uid_[counted_as] >= limit) {
    metrics_->refused_limit->Increment();
    log_->Warning("workload API connection refused: there are too many of this user",
                  {{"uid", uid}, {"limit", static_cast<uint64_t>(limit)}});
    return;
  }
  Hand(stream, counted_as, allowed);
}

void WorkloadListener::Hand(const TcpStream& stream, uid_t counted_as, bool allowed) {
  UniqueFd handed(fcntl(stream.fd(), F_DUPFD_CLOEXEC, 0));
  UniqueFd copy(fcntl(stream.fd(), F_DUPFD_CLOEXEC, 0));
  if (!handed.valid() || !copy.valid()) {
    metrics_->refused_limit->Increment();
    return;
  }
  const uint64_t ticket = callers_->Add(handed.get(), allowed);
  absl::StatusOr<std::unique_ptr<EventLoop::FdWatch>> watch =
      loop_->Watch(copy.get(), [this, ticket](EventLoop::FdEvents events) {
        if (events.error) Forget(ticket);
      });
  if (!watch.ok()) {
    callers_->Remove(handed.get(), ticket);
    metrics_->refused_limit->Increment();
    return;
  }
  if (allowed) metrics_->accepted->Increment();
  metrics_->connections->Add(1);
  ++per_uid_[counted_as];
  connections_.emplace(
      ticket, Connection{handed.get(), ticket, counted_as, std::move(copy), *std::move(watch)});
  on_connection_(std::move(handed));
}

void WorkloadListener::Forget(uint64_t ticket) {
  auto it = connections_.find(ticket);
  if (it == connections_.end()) return;
  Connection& connection = it->second;
  callers_->Remove(connection.fd, connection.ticket);
  if (--per_uid_[connection.counted_as] == 0) per_uid_.erase(connection.counted_as);
  connection.watch.reset();
  connections_.erase(it);
  metrics_->connections->Add(-1);
}

}  // namespace byrnie
