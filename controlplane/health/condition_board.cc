#include "controlplane/health/condition_board.h"

#include <cstdint>
#include <utility>

namespace byrnie {

ConditionBoard::ConditionBoard(MetricRegistry* metrics) {
  for (const char* const name : kConditionNames) {
    gauges_[name] = metrics->AddGauge(
        "byrnie_controlplane_condition",
        "The conditions of byrniectl check that are about the control plane itself: 1 good, 2 to "
        "be looked at, 3 bad; 0: not looked at yet.",
        {{"condition", name}});
  }
}

void ConditionBoard::Set(std::vector<Condition> conditions, std::vector<std::string> others) {
  for (const Condition& condition : conditions) {
    const auto gauge = gauges_.find(condition.name);
    if (gauge != gauges_.end()) gauge->second->Set(static_cast<int64_t>(condition.state));
  }
  absl::MutexLock lock(&mu_);
  for (Condition& condition : conditions) {
    for (const Condition& before : conditions_) {
      if (before.name == condition.name && before.state == condition.state) {
        condition.since = before.since;
      }
    }
  }
  conditions_ = std::move(conditions);
  others_ = std::move(others);
}

std::vector<Condition> ConditionBoard::Get() const {
  absl::MutexLock lock(&mu_);
  return conditions_;
}

std::vector<std::string> ConditionBoard::others() const {
  absl::MutexLock lock(&mu_);
  return others_;
}

}  // namespace byrnie
