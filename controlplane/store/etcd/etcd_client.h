#ifndef BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_CLIENT_H_
#define BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_CLIENT_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "controlplane/store/etcd/etcd_options.h"
#include "etcd/etcdserverpb/rpc.grpc.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

namespace byrnie {

// Calls the members of an etcd: one at a time, the one that worked last, until it fails; then the
// next. Thread-safe; calls block. The clock outlives it.
class EtcdClient {
 public:
  // How long one member has to answer one call: beyond, another is asked. An etcd whose leader has
  // died has chosen the next one by then.
  static constexpr absl::Duration kAttempt = absl::Seconds(2);

  struct Member {
    std::string endpoint;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<etcdserverpb::KV::Stub> kv;
    std::unique_ptr<etcdserverpb::Watch::Stub> watch;
    std::unique_ptr<etcdserverpb::Lease::Stub> lease;
  };
  using Call = absl::FunctionRef<grpc::Status(const Member& member, grpc::ClientContext* context)>;

  // How a call has ended.
  struct Outcome {
    // OK; Unavailable: no answer, another attempt may have one; else etcd's refusal.
    absl::Status status;
    // There was no answer, but the call may have been carried out, or be carried out yet.
    bool in_doubt = false;
  };

  EtcdClient(const EtcdOptions& options, const Clock* clock);
  EtcdClient(const EtcdClient&) = delete;
  EtcdClient& operator=(const EtcdClient&) = delete;

  // Makes one attempt, which ends by `deadline` (Clock::MonotonicNow).
  Outcome Try(absl::Duration deadline, Call call);
  // Makes attempts until there is an answer or that time has come; for calls that may be carried
  // out more than once.
  absl::Status Retry(absl::Duration deadline, Call call);
  // Waits a moment between two attempts, and connects meanwhile; false when the deadline would
  // pass.
  bool Pause(absl::Duration deadline) const;

  // The member in use, for streams, connected; null when that has no connection in time: the next
  // member is in use then. Takes a moment also where a member refuses, so that it can be repeated
  // at once.
  const Member* Connected(absl::Duration deadline);
  // A stream there has failed.
  void OnFailed(const Member& member);

  // "10.0.0.1:2379, 10.0.0.2:2379", for messages.
  const std::string& where() const { return where_; }
  const Clock& clock() const { return *clock_; }

 private:
  size_t preferred() const;
  // `refused`: how long to wait for a member that refuses connections.
  const Member* Connected(absl::Duration deadline, absl::Duration refused);

  const Clock* const clock_;  // Not owned.
  const std::string where_;
  std::vector<Member> members_;  // Not changed any more.
  mutable absl::Mutex mu_;
  size_t preferred_ ABSL_GUARDED_BY(mu_) = 0;
};

// Prepares a call: etcd refuses it at once where it knows of no leader.
void RequireLeader(grpc::ClientContext* context);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_ETCD_ETCD_CLIENT_H_
