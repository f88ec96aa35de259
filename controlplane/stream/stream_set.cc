#include "controlplane/stream/stream_set.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace byrnie {

StreamSet::~StreamSet() { CHECK(streams_.empty()); }

AgentStream* StreamSet::Add(std::unique_ptr<AgentStream> stream) {
  absl::MutexLock lock(&mu_);
  AgentStream* const added = stream.get();
  if (added->peer().has_value()) {
    const PeerIdentity& peer = *added->peer();
    agents_->OnStreamOpened(peer.id, added->address(),
                            {peer.serial, peer.not_after, added->release(), peer.root},
                            clock_->WallNow());
  }
  count_->Add(1);
  streams_[added].stream = std::move(stream);
  if (!ended_.ok()) added->End(ended_);
  return added;
}

void StreamSet::Remove(LiveStream* stream) {
  std::unique_ptr<AgentStream> removed;
  {
    absl::MutexLock lock(&mu_);
    auto it = streams_.find(stream);
    CHECK(it != streams_.end());
    removed = std::move(it->second.stream);
    streams_.erase(it);
    count_->Add(-1);
  }
  if (removed->peer().has_value()) {
    agents_->OnStreamClosed(removed->peer()->id, removed->address(), clock_->WallNow());
  }
}

void StreamSet::WakeAll() {
  absl::MutexLock lock(&mu_);
  for (auto& entry : streams_) entry.first->Wake();
}

void StreamSet::WakeAt(const std::set<std::string>& addresses) {
  absl::MutexLock lock(&mu_);
  for (auto& entry : streams_) {
    if (addresses.count(entry.second.stream->address()) > 0) entry.first->Wake();
  }
}

void StreamSet::EndExpired() {
  const absl::Time now = clock_->WallNow();
  absl::MutexLock lock(&mu_);
  for (auto& entry : streams_) {
    const absl::optional<PeerIdentity>& peer = entry.second.stream->peer();
    if (peer.has_value() && peer->not_after <= now) {
      entry.first->End(absl::UnauthenticatedError(
          "the client certificate has expired; connect again with the renewed one"));
    }
  }
}

void StreamSet::EndRevoked(const TrustBundleSource::Versioned& bundles,
                           absl::string_view trust_domain) {
  const absl::Time now = clock_->WallNow();
  absl::MutexLock lock(&mu_);
  for (auto& entry : streams_) {
    Open& open = entry.second;
    const absl::optional<PeerIdentity>& peer = open.stream->peer();
    if (!peer.has_value() || open.judged_by == bundles.version) continue;
    if (IsRevoked(peer->path, *bundles.bundles, trust_domain, now)) {
      // Again and again, until it is gone: the second time cuts off who does not read.
      entry.first->End(absl::UnauthenticatedError("the client certificate has been revoked"));
    } else {
      open.judged_by = bundles.version;
    }
  }
}

std::vector<std::string> StreamSet::EndStalled() {
  const absl::Duration now = clock_->MonotonicNow();
  std::vector<std::string> addresses;
  absl::MutexLock lock(&mu_);
  for (auto& entry : streams_) {
    Open& open = entry.second;
    const absl::optional<uint64_t> waiting = entry.first->WaitingForReader();
    if (!waiting.has_value() || waiting != open.waiting) {
      open.waiting = waiting;
      open.waiting_since = now;
    } else if (now - open.waiting_since >= kStall) {
      const absl::Status status = absl::DeadlineExceededError(
          absl::StrCat("nothing was read or acknowledged for ", absl::FormatDuration(kStall)));
      entry.first->End(status);
      entry.first->End(status);  // Whoever does not read is cut off.
      open.waiting.reset();
      addresses.push_back(open.stream->address());
    }
  }
  return addresses;
}

void StreamSet::EndAll(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  ended_ = status;
  for (auto& entry : streams_) entry.first->End(status);
}

}  // namespace byrnie
