#ifndef BYRNIE_PROXY_ADMIN_PAGES_H_
#define BYRNIE_PROXY_ADMIN_PAGES_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/json_writer.h"
#include "proxy/mesh_snapshot.h"
#include "proxy/proxy_config.h"
#include "proxy/stage_times.h"
#include "proxy/worker.h"

namespace byrnie {

// What the admin pages show, as pure functions. Nothing secret is in what they are given.

// JSON: the own identity, its chain and the trust bundles, with their times.
std::string RenderCerts(const MeshSnapshot& mesh, absl::Time now);
// JSON: flags, routing table, policies.
std::string RenderConfigDump(const MeshSnapshot& mesh, const ProxyConfig& config);
// JSON: at most `limit` connections, and the tunnels, of each worker. `complete` is false when a
// worker did not answer in time.
std::string RenderConnections(const std::vector<Worker::View>& workers, bool complete,
                              size_t limit);
// "dial_ms" and so on, of the stages there were, as fields of an object.
void WriteStages(const StageTimes& stages, JsonWriter* json);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_ADMIN_PAGES_H_
