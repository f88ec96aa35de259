#include "controlplane/page/state_gatherer.h"

#include <utility>

namespace byrnie {

StateGatherer::StateGatherer(const Clock* clock, std::function<std::string()> gather)
    : clock_(clock), thread_([this, gather = std::move(gather)] { Run(gather); }) {}

StateGatherer::~StateGatherer() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

std::shared_ptr<const std::string> StateGatherer::Look() {
  const absl::Duration now = clock_->MonotonicNow();
  absl::MutexLock lock(&mu_);
  if (!asked_ && now - text_time_ >= kFresh) {
    asked_ = true;
    asked_time_ = now;
  }
  return now - text_time_ < kTooOld ? text_ : nullptr;
}

void StateGatherer::Run(const std::function<std::string()>& gather) {
  absl::MutexLock lock(&mu_);
  while (true) {
    mu_.Await(absl::Condition(this, &StateGatherer::HasWork));
    if (stopping_) return;
    mu_.Unlock();
    auto text = std::make_shared<const std::string>(gather());
    mu_.Lock();
    text_ = std::move(text);
    text_time_ = asked_time_;
    asked_ = false;
  }
}

}  // namespace byrnie
