#include "proxy/resolver.h"

#include <utility>

#include "common/base/check.h"

namespace byrnie {

Resolver::Resolver(EventLoop* loop, const Options& options, SendQuestion send)
    : loop_(loop),
      options_(options),
      send_(std::move(send)),
      timer_(loop->NewTimer([this] { OnTimer(); })) {}

void Resolver::Resolve(const IpAddress& address, Callback done) {
  DCHECK(loop_->InLoopThread());
  auto negative = negative_.find(address);
  if (negative != negative_.end()) {
    if (negative->second > loop_->Now()) {
      done(Outcome::kNotInMesh);
      return;
    }
    negative_.erase(negative);
  }
  Ask(address, /*refresh=*/false, std::move(done));
}

void Resolver::Refresh(const IpAddress& address, Callback done) {
  DCHECK(loop_->InLoopThread());
  auto refreshed = refreshed_.find(address);
  if (refreshed != refreshed_.end()) {
    if (refreshed->second > loop_->Now()) {
      done(Outcome::kFound);
      return;
    }
    refreshed_.erase(refreshed);
  }
  Ask(address, /*refresh=*/true, std::move(done));
}

void Resolver::Ask(const IpAddress& address, bool refresh, Callback done) {
  const std::pair<IpAddress, bool> question(address, refresh);
  auto known = pending_by_address_.find(question);
  if (known != pending_by_address_.end()) {
    pending_.at(known->second).waiting.push_back(std::move(done));
    return;
  }
  if (pending_.size() >= options_.max_pending) {
    done(Outcome::kOverloaded);
    return;
  }
  const uint64_t id = next_id_++;
  Pending& pending = pending_[id];
  pending.address = address;
  pending.refresh = refresh;
  pending.deadline = loop_->Now() + options_.timeout;
  pending.waiting.push_back(std::move(done));
  pending_by_address_[question] = id;
  // A question that cannot be sent now waits for the link, until its deadline.
  send_(id, address, refresh).IgnoreError();
  ArmTimer();
}

void Resolver::OnAnswer(uint64_t id, Outcome outcome) {
  auto it = pending_.find(id);
  if (it == pending_.end()) return;
  if (outcome == Outcome::kNotInMesh && options_.negative_ttl > absl::ZeroDuration()) {
    // Dropping all of them costs questions, not correctness, and bounds the memory an application
    // can take.
    if (negative_.size() >= options_.max_negative) negative_.clear();
    negative_[it->second.address] = loop_->Now() + options_.negative_ttl;
  }
  if (it->second.refresh && outcome != Outcome::kUnavailable) {
    if (refreshed_.size() >= options_.max_negative) refreshed_.clear();
    refreshed_[it->second.address] = loop_->Now() + options_.refresh_ttl;
  }
  Finish(it, outcome);
}

void Resolver::OnLinkUp() {
  ForgetNegatives();
  for (const auto& [id, pending] : pending_) {
    send_(id, pending.address, pending.refresh).IgnoreError();
  }
}

void Resolver::ForgetNegatives() { negative_.clear(); }

void Resolver::Finish(std::map<uint64_t, Pending>::iterator it, Outcome outcome) {
  std::vector<Callback> waiting = std::move(it->second.waiting);
  pending_by_address_.erase(std::make_pair(it->second.address, it->second.refresh));
  pending_.erase(it);
  ArmTimer();
  for (Callback& done : waiting) done(outcome);
}

void Resolver::OnTimer() {
  while (!pending_.empty() && pending_.begin()->second.deadline <= loop_->Now()) {
    Finish(pending_.begin(), Outcome::kTimedOut);
  }
  ArmTimer();
}

void Resolver::ArmTimer() {
  if (pending_.empty()) {
    timer_->Cancel();
    return;
  }
  timer_->Schedule(pending_.begin()->second.deadline - loop_->Now());
}

}  // namespace byrnie
