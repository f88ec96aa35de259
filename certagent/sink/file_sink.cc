#include "certagent/sink/file_sink.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace byrnie {
namespace {

Backoff::Options RetryBackoff() {
  Backoff::Options options;
  options.initial = absl::Seconds(1);
  options.max = absl::Seconds(30);
  options.jitter = 0.25;
  return options;
}

SinkDirectory::Content ContentOf(const IdentitySnapshot& snapshot, const PrivateKey& key) {
  SinkDirectory::Content content;
  for (const CertificatePtr& certificate : snapshot.chain()) {
    absl::StrAppend(&content.certificates_pem, certificate->ToPem());
  }
  content.key_pem = key.ToPem();
  // Of the own trust domain alone: in one file nobody could tell whose roots are whose.
  for (const CertificatePtr& root : snapshot.bundles().Find(snapshot.id().trust_domain())->roots) {
    absl::StrAppend(&content.roots_pem, root->ToPem());
  }
  return content;
}

}  // namespace

constexpr absl::Duration FileSink::kReplacedStays;

FileSink::FileSink(EventLoop* loop, Options options, Logger* log, MetricRegistry* metrics,
                   absl::BitGenRef random)
    : loop_(loop),
      options_(std::move(options)),
      log_(log),
      directory_(options_.directory),
      backoff_(RetryBackoff(), random),
      retry_(loop->NewTimer([this] { StartNext(); })),
      remove_replaced_(loop->NewTimer(
          [this] { thread_.Run([this] { directory_.RemoveReplaced().IgnoreError(); }); })) {
  constexpr char kWrites[] = "byrnie_certagent_file_sink_writes_total";
  constexpr char kWritesHelp[] = "Times certificate, key and roots were to be written, by result.";
  written_ = metrics->AddCounter(kWrites, kWritesHelp, {{"result", "written"}});
  failed_ = metrics->AddCounter(kWrites, kWritesHelp, {{"result", "failed"}});
  constexpr char kHooks[] = "byrnie_certagent_file_sink_hooks_total";
  constexpr char kHooksHelp[] = "Times the application was to be told of new files, by result.";
  hooks_ok_ = metrics->AddCounter(kHooks, kHooksHelp, {{"result", "ok"}});
  hooks_failed_ = metrics->AddCounter(kHooks, kHooksHelp, {{"result", "failed"}});
  failing_ = metrics->AddGauge("byrnie_certagent_file_sink_failing",
                               "1 while the files are not what they should be.");
}

FileSink::~FileSink() = default;

void FileSink::Publish(IdentitySnapshotPtr snapshot, std::shared_ptr<const PrivateKey> key) {
  DCHECK(loop_->InLoopThread());
  next_ = Job{std::move(snapshot), std::move(key)};
  backoff_.Reset();
  retry_->Cancel();
  StartNext();
}

void FileSink::StartNext() {
  if (busy_ || !next_.has_value()) return;
  busy_ = true;
  Job job = *std::move(next_);
  next_.reset();
  // The loop's end would leave what is posted undone, and that is all right.
  thread_.Run(
      [this, job = std::move(job), loop = loop_, weak = std::weak_ptr<FileSink*>(self_)]() mutable {
        Outcome outcome = Write(job);
        loop->Post([weak, job = std::move(job), outcome = std::move(outcome)] {
          if (std::shared_ptr<FileSink*> self = weak.lock()) (*self)->OnDone(job, outcome);
        });
      });
}

FileSink::Outcome FileSink::Write(const Job& job) {
  Outcome outcome;
  outcome.written = directory_.Publish(ContentOf(*job.snapshot, *job.key));
  if (!outcome.written.ok()) {
    // What is left of earlier ones may be what fills the disk.
    directory_.RemoveReplaced().IgnoreError();
    return outcome;
  }
  if (options_.signal.has_value()) outcome.hook = SendSinkSignal(*options_.signal);
  if (!options_.command.empty()) {
    outcome.hook.Update(RunSinkCommand(options_.command, options_.command_timeout));
  }
  return outcome;
}

void FileSink::OnDone(const Job& job, const Outcome& outcome) {
  busy_ = false;
  if (!outcome.written.ok()) {
    failed_->Increment();
    failing_->Set(1);
    const absl::Duration delay = backoff_.Next();
    log_->Log(status_.code() == outcome.written.code() ? LogLevel::kDebug : LogLevel::kError,
              "certificate not written to files, which keep the one before",
              {{"reason", outcome.written.message()}, {"retry_in", absl::FormatDuration(delay)}});
    status_ = outcome.written;
    // Something newer is written at once: what kept this one out may not keep that one out.
    if (next_.has_value()) return StartNext();
    next_ = job;
    retry_->Schedule(delay);
    return;
  }
  written_->Increment();
  failing_->Set(0);
  status_ = absl::OkStatus();
  backoff_.Reset();
  remove_replaced_->Schedule(kReplacedStays);
  log_->Info("certificate written to files",
             {{"directory", options_.directory.path}, {"generation", job.snapshot->generation()}});
  if (options_.signal.has_value() || !options_.command.empty()) {
    (outcome.hook.ok() ? hooks_ok_ : hooks_failed_)->Increment();
    if (!outcome.hook.ok()) {
      log_->Error("application not told of its new files", {{"reason", outcome.hook.message()}});
    }
  }
  StartNext();
}

}  // namespace byrnie
