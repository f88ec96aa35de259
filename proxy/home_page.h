#ifndef BYRNIE_PROXY_HOME_PAGE_H_
#define BYRNIE_PROXY_HOME_PAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proxy/flight_recorder.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/proxy_config.h"

namespace byrnie {

// What the first page of the admin server shows to people: whether this proxy does its job, what it
// refused and what was slow lately, and where to look further.
struct HomeFacts {
  MeshSnapshotPtr mesh;
  bool link_up = false;
  // "ready", "draining", or what is missing.
  std::string readiness;
  size_t connections = 0;
  // The last that ended.
  std::vector<FlightRecorder::Entry> ended;
  // In the order of AllReasons(), of the time `refusals_cover`.
  std::vector<uint64_t> refusals;
  absl::Duration refusals_cover;
  absl::Duration uptime;
  absl::Time now;
};

// HTML without anything that has to be fetched. Pure; nothing secret is in what it is given.
std::string RenderHome(const HomeFacts& facts, const ProxyConfig& config);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_HOME_PAGE_H_
