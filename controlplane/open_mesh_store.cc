#include "controlplane/open_mesh_store.h"

#include <cstdint>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "controlplane/records/mesh_record.h"
#include "controlplane/start_checks.h"
#include "controlplane/store/sqlite_store.h"
#include "controlplane/store/store_location.h"

namespace byrnie {

absl::StatusOr<std::unique_ptr<MeshStore>> OpenMeshStore(const ControlPlaneOptions& options,
                                                         const Clock* clock, Logger* logger,
                                                         MetricRegistry* metrics, bool* created) {
  MeshStart start;
  start.shared = options.store.etcd.has_value();
  start.own_roots = options.plugged_ca.empty();
  start.new_mesh = options.new_mesh;
  if (!start.shared) {
    // Before the engine, which takes what is left of a lost file for something to clear away.
    start.traces = SqliteStore::TracesOfLostFile(options.store.sqlite_path);
    RETURN_IF_ERROR(InStoreFlag(CheckNoTraces(start)));
  }
  // A file that an earlier process made says that this is no first start.
  start.traces = TracesOf(
      {{"trust_bundle_out", options.trust_bundle_out}, {"issuance_spool", options.issuance_spool}});
  ASSIGN_OR_RETURN(std::unique_ptr<Store> engine, OpenStore(options.store, clock, logger, created));
  if (start.shared) {
    start.name = options.name;
    absl::BitGen random;
    start.new_id = absl::StrFormat("%016x%016x", absl::Uniform<uint64_t>(random),
                                   absl::Uniform<uint64_t>(random));
  }
  absl::StatusOr<std::unique_ptr<MeshStore>> store =
      start.shared ? MeshStore::Shared(std::move(engine), start, clock, logger, metrics)
                   : MeshStore::OfOneProcess(std::move(engine), start, clock, logger, metrics);
  RETURN_IF_ERROR(InStoreFlag(store.status()));
  return store;
}

}  // namespace byrnie
