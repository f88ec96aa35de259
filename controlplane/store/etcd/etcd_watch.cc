#include "controlplane/store/etcd/etcd_watch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace byrnie {
namespace {

// After a listener that could not read, and an etcd that cannot be watched.
constexpr absl::Duration kRetry = absl::Seconds(1);
// After a stream that worked until it broke, and a wait for a connection.
constexpr absl::Duration kReconnect = absl::Milliseconds(50);

}  // namespace

EtcdWatch::EtcdWatch(EtcdClient* client, std::string entries_prefix, absl::string_view prefix,
                     StoreListener* listener)
    : client_(client),
      entries_prefix_(std::move(entries_prefix)),
      start_(absl::StrCat(entries_prefix_, prefix)),
      listener_(listener),
      thread_([this] { Run(); }) {}

EtcdWatch::~EtcdWatch() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  stopped_.NotifyAll();
  thread_.join();
}

bool EtcdWatch::stopping() const {
  absl::MutexLock lock(&mu_);
  return stopping_;
}

bool EtcdWatch::Pause(absl::Duration time) {
  absl::MutexLock lock(&mu_);
  const auto stopping = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_; };
  return !stopped_.AwaitWithTimeout(&mu_, time, stopping);
}

void EtcdWatch::Run() {
  while (!stopping()) {
    if (next_revision_ == 0 && !Reset()) {
      if (!Pause(kRetry)) return;
      continue;
    }
    if (!Pause(Follow() ? kReconnect : kRetry)) return;
  }
}

bool EtcdWatch::Reset() {
  etcdserverpb::RangeRequest request;
  request.set_key(start_);
  request.set_count_only(true);
  etcdserverpb::RangeResponse response;
  const absl::Status asked =
      client_->Retry(client_->clock().MonotonicNow() + EtcdClient::kAttempt,
                     [&](const EtcdClient::Member& member, grpc::ClientContext* context) {
                       return member.kv->Range(context, request, &response);
                     });
  if (!asked.ok() || stopping() || !listener_->OnReset().ok()) return false;
  // What is changed while it reads is told afterwards.
  next_revision_ = response.header().revision() + 1;
  changes_.clear();
  return true;
}

bool EtcdWatch::Follow() {
  const EtcdClient::Member* const member =
      client_->Connected(client_->clock().MonotonicNow() + EtcdClient::kAttempt);
  if (member == nullptr) return true;
  grpc::ClientContext context;
  // A member that has lost the others ends the stream.
  RequireLeader(&context);
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return false;
    context_ = &context;
  }
  const auto stream = member->watch->Watch(&context);
  etcdserverpb::WatchRequest request;
  etcdserverpb::WatchCreateRequest* const create = request.mutable_create_request();
  create->set_key(start_);
  create->set_range_end(StorePrefixEnd(start_));
  create->set_start_revision(next_revision_);
  create->set_progress_notify(true);
  create->set_fragment(true);
  bool worked = false;
  if (stream->Write(request)) {
    etcdserverpb::WatchResponse response;
    while (stream->Read(&response)) {
      if (response.canceled()) {
        // Forgotten, or a revision that this etcd never had.
        if (response.compact_revision() > 0) {
          next_revision_ = 0;
          worked = true;
        }
        break;
      }
      worked = true;
      Take(&response);
      response.Clear();
    }
  }
  context.TryCancel();
  stream->Finish();
  // Half a revision is told whole by the next stream.
  changes_.clear();
  if (next_revision_ != 0) client_->OnFailed(*member);
  absl::MutexLock lock(&mu_);
  context_ = nullptr;
  return worked;
}

void EtcdWatch::Take(etcdserverpb::WatchResponse* response) {
  for (mvccpb::Event& event : *response->mutable_events()) {
    mvccpb::KeyValue* const kv = event.mutable_kv();
    const int64_t revision = kv->mod_revision();
    if (!changes_.empty() && changes_.back().revision != revision) {
      listener_->OnChanges(changes_);
      next_revision_ = changes_.back().revision + 1;
      changes_.clear();
    }
    StoreChange change{kv->key().substr(entries_prefix_.size()), absl::nullopt, revision};
    if (event.type() == mvccpb::Event::PUT) change.value = std::move(*kv->mutable_value());
    changes_.push_back(std::move(change));
  }
  if (response->fragment()) return;
  if (!changes_.empty()) {
    listener_->OnChanges(changes_);
    next_revision_ = changes_.back().revision + 1;
    changes_.clear();
  } else if (!response->created()) {
    // Nothing has happened so far: a broken stream need not begin before it.
    next_revision_ = std::max(next_revision_, response->header().revision() + 1);
  }
}

}  // namespace byrnie
