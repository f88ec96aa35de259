#include "controlplane/stream/stream_set.h"

#include <utility>

#include "common/base/check.h"

namespace byrnie {

StreamSet::~StreamSet() { CHECK(streams_.empty()); }

AgentStream* StreamSet::Add(std::unique_ptr<AgentStream> stream) {
  absl::MutexLock lock(&mu_);
  AgentStream* const added = stream.get();
  if (added->peer().has_value()) {
    const PeerIdentity& peer = *added->peer();
    agents_->OnStreamOpened(peer.id, added->address(),
                            {peer.serial, peer.not_after, added->release()}, clock_->WallNow());
  }
  count_->Add(1);
  streams_.emplace(added, std::move(stream));
  if (!ended_.ok()) added->End(ended_);
  return added;
}

void StreamSet::Remove(LiveStream* stream) {
  std::unique_ptr<AgentStream> removed;
  {
    absl::MutexLock lock(&mu_);
    auto it = streams_.find(stream);
    CHECK(it != streams_.end());
    removed = std::move(it->second);
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

void StreamSet::EndExpired() {
  const absl::Time now = clock_->WallNow();
  absl::MutexLock lock(&mu_);
  for (auto& entry : streams_) {
    const absl::optional<PeerIdentity>& peer = entry.second->peer();
    if (peer.has_value() && peer->not_after <= now) {
      entry.first->End(absl::UnauthenticatedError(
          "the client certificate has expired; connect again with the renewed one"));
    }
  }
}

void StreamSet::EndAll(const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  ended_ = status;
  for (auto& entry : streams_) entry.first->End(status);
}

}  // namespace byrnie
