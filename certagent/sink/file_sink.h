#ifndef BYRNIE_CERTAGENT_SINK_FILE_SINK_H_
#define BYRNIE_CERTAGENT_SINK_FILE_SINK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "certagent/sink/sink_directory.h"
#include "certagent/sink/sink_hook.h"
#include "certagent/sink/task_thread.h"
#include "common/base/backoff.h"
#include "common/crypto/private_key.h"
#include "common/event/event_loop.h"
#include "common/identity/identity_snapshot.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"

namespace byrnie {

// Keeps the present certificate, its key and the roots of its trust domain in files, for
// applications that read files, and tells them of each change. With it a private key leaves the
// agent; it exists only where the operator asked for it.
//
// Lives on the agent's loop; disk and hooks are a thread's, so that a disk that hangs delays no
// signature. What cannot be written is counted, logged once and tried again until it is, or
// something newer is to be written; nothing else of the agent is affected, and the files keep what
// they had. A hook that fails is counted and logged, and not repeated: the files are right.
class FileSink {
 public:
  struct Options {
    SinkDirectory::Options directory;
    absl::optional<SinkSignal> signal;
    // argv of the command; empty: none.
    std::vector<std::string> command;
    absl::Duration command_timeout = absl::Seconds(10);
  };
  // How long a replaced content stays for readers on their way into it.
  static constexpr absl::Duration kReplacedStays = absl::Seconds(5);

  // Pointers and `random` outlive the sink.
  FileSink(EventLoop* loop, Options options, Logger* log, MetricRegistry* metrics,
           absl::BitGenRef random);
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;
  // Waits for what is being written.
  ~FileSink();

  // Writes these soon; `key` is the leaf's.
  void Publish(IdentitySnapshotPtr snapshot, std::shared_ptr<const PrivateKey> key);

  // OK when what is in the files is the latest given, or nothing was given yet.
  const absl::Status& status() const { return status_; }

 private:
  struct Job {
    IdentitySnapshotPtr snapshot;
    std::shared_ptr<const PrivateKey> key;
  };
  // What a job came to: each is OK also when there was nothing to do.
  struct Outcome {
    absl::Status written;
    absl::Status hook;
  };

  void StartNext();
  Outcome Write(const Job& job);  // On the thread.
  void OnDone(const Job& job, const Outcome& outcome);

  EventLoop* const loop_;  // Not owned.
  const Options options_;
  Logger* const log_;        // Not owned.
  SinkDirectory directory_;  // The thread's.
  Backoff backoff_;
  const std::unique_ptr<EventLoop::Timer> retry_;
  const std::unique_ptr<EventLoop::Timer> remove_replaced_;
  absl::optional<Job> next_;
  bool busy_ = false;
  absl::Status status_;

  Counter* written_;
  Counter* failed_;
  Counter* hooks_ok_;
  Counter* hooks_failed_;
  Gauge* failing_;
  // What the thread posts may come after this has gone; it holds it weakly.
  const std::shared_ptr<FileSink*> self_ = std::make_shared<FileSink*>(this);
  // Last: it ends first.
  TaskThread thread_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_SINK_FILE_SINK_H_
