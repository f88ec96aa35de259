#include "proxy/tunnel_pool.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "proxy/pooled_tunnel.h"
#include "proxy/tunnel_reason.h"
#include "proxy/tunnel_request.h"

namespace byrnie {
namespace {

// A listener that drains ignores SYNs for half a second, and the kernel sends the next one a second
// after the first. From then on it refuses at once, and that is a failure like any other.
constexpr absl::Duration kLeaving = absl::Seconds(2);

}  // namespace

TunnelPool::TunnelPool(EventLoop* loop, TunnelDialer* dialer, const Options& options,
                       const Metrics& metrics, OnSessionEnd on_session_end)
    : loop_(loop),
      dialer_(dialer),
      options_(options),
      count_(options.count != nullptr ? options.count : &own_count_),
      metrics_(metrics),
      on_session_end_(std::move(on_session_end)),
      reap_(loop->NewDeferred([this] { Reap(); })) {}

TunnelPool::~TunnelPool() = default;

void TunnelPool::SetIdentity(Identity identity) {
  const bool replaced = identity_.has_value() && identity_->generation != identity.generation;
  identity_ = std::move(identity);
  if (!replaced) return;
  if (options_.expiry == IdentityExpiry::kStrict) {
    for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) {
      if (tunnel->open()) tunnel->Close();
    }
  }
  DrainAll();
}

void TunnelPool::SetPolicyEpoch(uint64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  DrainAll();
}

void TunnelPool::DrainAll() {
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) tunnel->Drain();
}

std::unique_ptr<TunnelPool::Request> TunnelPool::Open(TunnelTarget target, ConnectRequest request,
                                                      Callback done) {
  auto pending = std::make_unique<PendingRequest>(this, std::move(target), std::move(request),
                                                  std::move(done));
  Assign(pending.get(), /*fresh=*/false);
  return pending;
}

absl::Status TunnelPool::CheckTarget(const TunnelTarget& target) const {
  if (!identity_.has_value()) return absl::FailedPreconditionError("no identity yet");
  RETURN_IF_ERROR(CheckOwnValidity(identity_->not_before, identity_->not_after, loop_->WallNow()));
  if (target.allowed_peers.empty()) {
    return absl::InternalError("no identity is allowed at the end of the tunnel");
  }
  return absl::OkStatus();
}

TunnelPool::Key TunnelPool::KeyOf(const TunnelTarget& target) const {
  return Key{target.address, target.allowed_peers, identity_->generation, epoch_};
}

absl::Status TunnelPool::Prove(const TunnelTarget& target,
                               absl::AnyInvocable<void(absl::Status)> done) {
  RETURN_IF_ERROR(CheckTarget(target));
  Key key = KeyOf(target);
  const auto siblings = usable_.find(key);
  if (siblings != usable_.end()) {
    for (Tunnel* tunnel : siblings->second) {
      if (!tunnel->connecting() || !tunnel->set_on_dialled(&done)) continue;
      return absl::OkStatus();
    }
  }
  // One for each peer at a time, and it goes when it has served (see Tunnel::OnDialed): what is
  // open does not end because there is no room for more.
  const bool past_limit = !CountOne().ok();
  if (past_limit) count_->TryAdd(std::numeric_limits<size_t>::max());
  TunnelTarget dialled = target;
  dialled.for_proof = true;
  Tunnel* const tunnel = NewTunnel(dialled, std::move(key));
  tunnel->set_on_dialled(&done);
  if (past_limit) tunnel->set_past_limit();
  return absl::OkStatus();
}

void TunnelPool::Assign(PendingRequest* request, bool fresh) {
  const TunnelTarget& target = request->target();
  absl::Status valid = CheckTarget(target);
  if (!valid.ok()) {
    request->Fail(std::move(valid));
    return;
  }
  const absl::StatusOr<Tunnel*> tunnel = TunnelFor(target, KeyOf(target), fresh);
  if (!tunnel.ok()) {
    request->Fail(tunnel.status());
    return;
  }
  request->set_tunnel(*tunnel, (*tunnel)->connecting());
  if ((*tunnel)->connecting()) {
    (*tunnel)->AddWaiter(request);
    if (Leaving(target.address.ip())) request->OnLeaving();
  } else {
    request->StartStream();
  }
}

absl::StatusOr<TunnelPool::Tunnel*> TunnelPool::TunnelFor(const TunnelTarget& target, Key key,
                                                          bool fresh) {
  Tunnel* const usable = fresh ? nullptr : FindUsable(key);
  if (usable != nullptr) return usable;
  const auto siblings = usable_.find(key);
  if (siblings != usable_.end() && siblings->second.size() >= options_.tunnels_before_sharing) {
    Tunnel* const shared = FindShared(siblings->second);
    if (shared != nullptr) return shared;
    for (const Tunnel* tunnel : siblings->second) {
      if (tunnel->silent()) {
        return WithReason(absl::UnavailableError("tunnels to the peer are silent, the others full"),
                          tunnel_reason::kPeerSilent);
      }
    }
    // All are full.
  }
  RETURN_IF_ERROR(CountOne());
  return NewTunnel(target, std::move(key));
}

absl::Status TunnelPool::CountOne() {
  while (!count_->TryAdd(options_.max_tunnels)) {
    if (CloseLongestIdle()) continue;
    return WithReason(absl::ResourceExhaustedError(
                          absl::StrCat(options_.max_tunnels, " tunnels are open and none is idle")),
                      tunnel_reason::kTunnelLimit);
  }
  return absl::OkStatus();
}

TunnelPool::Tunnel* TunnelPool::FindUsable(const Key& key) const {
  auto it = usable_.find(key);
  if (it == usable_.end()) return nullptr;
  // What the peer said on one tunnel holds for the next before it says so
  // again.
  size_t peer_limit = options_.max_streams_per_tunnel;
  for (Tunnel* tunnel : it->second) {
    if (tunnel->open()) peer_limit = std::min(peer_limit, tunnel->session()->stream_limit());
  }
  for (Tunnel* tunnel : it->second) {
    if (tunnel->usable(std::max<size_t>(1, peer_limit))) return tunnel;
  }
  return nullptr;
}

TunnelPool::Tunnel* TunnelPool::FindShared(const std::vector<Tunnel*>& tunnels) const {
  Tunnel* least = nullptr;
  for (Tunnel* tunnel : tunnels) {
    if (!tunnel->has_room(options_.max_streams_per_tunnel)) continue;
    if (least == nullptr || tunnel->streams() < least->streams()) least = tunnel;
  }
  return least;
}

bool TunnelPool::CloseLongestIdle() {
  Tunnel* longest = nullptr;
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) {
    if (!tunnel->idle()) continue;
    if (longest == nullptr || tunnel->idle_since() < longest->idle_since()) longest = tunnel.get();
  }
  if (longest == nullptr) return false;
  longest->Close();
  return true;
}

TunnelPool::Tunnel* TunnelPool::NewTunnel(const TunnelTarget& target, Key key) {
  tunnels_.push_back(std::make_unique<Tunnel>(this, std::move(key), target));
  Tunnel* tunnel = tunnels_.back().get();
  usable_[tunnel->key()].push_back(tunnel);
  return tunnel;
}

void TunnelPool::NoteLeaving(const IpAddress& ip) {
  const absl::Duration now = loop_->Now();
  absl::erase_if(leaving_, [now](const auto& entry) { return entry.second <= now; });
  leaving_[ip] = now + kLeaving;
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) {
    if (tunnel->connecting() && tunnel->key().address.ip() == ip) tunnel->TellWaiters();
  }
}

bool TunnelPool::Leaving(const IpAddress& ip) const {
  if (leaving_.empty()) return false;
  const auto found = leaving_.find(ip);
  return found != leaving_.end() && loop_->Now() < found->second;
}

void TunnelPool::CloseExpired(absl::Time now) {
  if (options_.expiry == IdentityExpiry::kKeep) return;
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) {
    if (tunnel->open() && tunnel->peer()->not_after() <= now) tunnel->Close();
  }
}

void TunnelPool::CloseUnless(absl::AnyInvocable<bool(const PeerInfo& peer)> keep) {
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) {
    if (tunnel->open() && !keep(*tunnel->peer())) tunnel->Close();
  }
}

std::vector<TunnelPool::TunnelView> TunnelPool::View() const {
  std::vector<TunnelView> views;
  views.reserve(tunnels_.size());
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) views.push_back(tunnel->View());
  return views;
}

void TunnelPool::Reap() {
  for (const std::unique_ptr<Tunnel>& tunnel : tunnels_) tunnel->MaybeCloseIdle();
  tunnels_.erase(
      std::remove_if(tunnels_.begin(), tunnels_.end(),
                     [](const std::unique_ptr<Tunnel>& tunnel) { return tunnel->finished(); }),
      tunnels_.end());
}

}  // namespace byrnie
