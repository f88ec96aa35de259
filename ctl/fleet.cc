#include "ctl/fleet.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <tuple>

#include "ctl/table.h"

namespace byrnie {

namespace v1 = byrnie::operator_::v1;

namespace {

// An identity at a host: its port is another one at every connection.
using Place = std::pair<std::string, std::string>;

Place PlaceOf(const v1::Agent& agent) {
  return {agent.spiffe_id(), agent.address().substr(0, agent.address().rfind(':'))};
}

}  // namespace

std::vector<v1::Agent> MergeAgents(std::vector<v1::Agent> agents) {
  std::set<Place> connected;
  std::map<Place, absl::Time> last_seen;
  for (const v1::Agent& agent : agents) {
    const Place place = PlaceOf(agent);
    if (agent.connected()) connected.insert(place);
    absl::Time& seen = last_seen.emplace(place, absl::InfinitePast()).first->second;
    seen = std::max(seen, TimeOf(agent.last_seen()));
  }
  std::set<Place> told;
  std::vector<v1::Agent> merged;
  for (v1::Agent& agent : agents) {
    const Place place = PlaceOf(agent);
    // Two that are connected are two agents, or one that is about to leave the other control plane.
    if (!agent.connected() &&
        (connected.count(place) > 0 || TimeOf(agent.last_seen()) < last_seen[place] ||
         !told.insert(place).second)) {
      continue;
    }
    merged.push_back(std::move(agent));
  }
  std::stable_sort(merged.begin(), merged.end(), [](const v1::Agent& a, const v1::Agent& b) {
    return std::tie(a.spiffe_id(), a.address()) < std::tie(b.spiffe_id(), b.address());
  });
  return merged;
}

std::vector<v1::Workload> MergeWorkloads(const std::vector<std::vector<v1::Workload>>& lists) {
  std::vector<v1::Workload> merged;
  std::map<std::string, size_t> places;
  for (const std::vector<v1::Workload>& list : lists) {
    for (const v1::Workload& workload : list) {
      const auto [place, is_new] = places.emplace(workload.uid(), merged.size());
      if (is_new) {
        merged.push_back(workload);
      } else if (workload.agent_connected()) {
        merged[place->second].set_agent_connected(true);
      }
    }
  }
  return merged;
}

std::vector<v1::WatchEventsResponse> MergeEvents(
    const std::vector<std::vector<v1::WatchEventsResponse>>& lists) {
  std::vector<std::pair<absl::Time, v1::WatchEventsResponse>> timed;
  for (const std::vector<v1::WatchEventsResponse>& list : lists) {
    // Of a gap it is known what it was before.
    absl::Time time = absl::InfiniteFuture();
    const size_t begin = timed.size();
    for (auto it = list.rbegin(); it != list.rend(); ++it) {
      if (it->has_event()) time = TimeOf(it->event().time());
      timed.emplace_back(time, *it);
    }
    std::reverse(timed.begin() + static_cast<std::ptrdiff_t>(begin), timed.end());
  }
  std::stable_sort(timed.begin(), timed.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<v1::WatchEventsResponse> merged;
  for (auto& entry : timed) merged.push_back(std::move(entry.second));
  return merged;
}

namespace {

using byrnie::operator_::v1::ExplainResponse;
using byrnie::operator_::v1::ExplainStep;

size_t CountOf(const ExplainResponse& answer, ExplainStep::Outcome outcome) {
  return static_cast<size_t>(
      std::count_if(answer.steps().begin(), answer.steps().end(),
                    [outcome](const ExplainStep& step) { return step.outcome() == outcome; }));
}

ExplainStep* StepOf(ExplainResponse* answer, const std::string& name) {
  for (ExplainStep& step : *answer->mutable_steps()) {
    if (step.name() == name) return &step;
  }
  return nullptr;
}

// Puts a step right behind the one called `before`.
void Insert(const ExplainStep& step, const std::string& before, ExplainResponse* answer) {
  *answer->add_steps() = step;
  for (int i = answer->steps_size() - 1; i > 0 && answer->steps(i - 1).name() != before; --i) {
    answer->mutable_steps()->SwapElements(i, i - 1);
  }
}

}  // namespace

ExplainResponse MergeExplanations(const std::vector<ExplainResponse>& answers) {
  // Who got furthest.
  ExplainResponse merged = *std::max_element(
      answers.begin(), answers.end(), [](const ExplainResponse& a, const ExplainResponse& b) {
        return CountOf(a, ExplainStep::OUTCOME_OK) < CountOf(b, ExplainStep::OUTCOME_OK);
      });
  for (const ExplainResponse& other : answers) {
    // Of several endpoints each may have looked at another.
    if (other.destination_uid() != merged.destination_uid()) continue;
    std::string before;
    for (const ExplainStep& step : other.steps()) {
      ExplainStep* const known = StepOf(&merged, step.name());
      if (known == nullptr) {
        if (!before.empty()) Insert(step, before, &merged);
      } else if (known->outcome() == ExplainStep::OUTCOME_UNKNOWN &&
                 step.outcome() != ExplainStep::OUTCOME_UNKNOWN) {
        *known = step;
      }
      before = step.name();
    }
  }
  return merged;
}

}  // namespace byrnie
