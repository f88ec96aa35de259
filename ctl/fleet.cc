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

}  // namespace byrnie
