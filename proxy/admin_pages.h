#ifndef BYRNIE_PROXY_ADMIN_PAGES_H_
#define BYRNIE_PROXY_ADMIN_PAGES_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/proxy_config.h"
#include "proxy/worker.h"

namespace byrnie {

// What the admin pages show, as pure functions. Nothing secret is in what they are given.

// A page for people, HTML.
struct HomeFacts {
  MeshSnapshotPtr mesh;
  bool link_up = false;
  // "ready", "draining", or what is missing.
  std::string readiness;
  size_t connections = 0;
  absl::Duration uptime;
  absl::Time now;
};
std::string RenderHome(const HomeFacts& facts, const ProxyConfig& config);

// JSON: the own identity, its chain and the trust bundles, with their times.
std::string RenderCerts(const MeshSnapshot& mesh, absl::Time now);
// JSON: flags, routing table, policies.
std::string RenderConfigDump(const MeshSnapshot& mesh, const ProxyConfig& config);
// JSON: connections and tunnels of each worker. `complete` is false when a worker did not answer in
// time.
std::string RenderConnections(const std::vector<Worker::View>& workers, bool complete);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ADMIN_PAGES_H_
