#ifndef BYRNIE_CONTROLPLANE_STORE_STORE_LOCATION_H_
#define BYRNIE_CONTROLPLANE_STORE_STORE_LOCATION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "common/base/clock.h"
#include "common/telemetry/log.h"
#include "controlplane/store/etcd/etcd_options.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Which store an operator means.
struct StoreLocation {
  // The file of a SQLite store; empty where there is an etcd.
  std::string sqlite_path;
  absl::optional<EtcdOptions> etcd;
  // The etcd's PEM files, for https: whom to trust, and who we are, if it asks.
  std::string etcd_ca_path, etcd_cert_path, etcd_key_path;
};

// Reads "sqlite:PATH" or "etcd:URL[,URL...][/PREFIX]", and checks that the paths go with it.
// InvalidArgument begins with the flag that is wrong.
absl::StatusOr<StoreLocation> ParseStoreLocation(absl::string_view store, std::string etcd_ca,
                                                 std::string etcd_cert, std::string etcd_key);

// Opens it, and makes it where it is a file that is not there yet, which `created` tells. Warns of
// what is open to others. Errors as the engines, and of the PEM files.
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreLocation& location, const Clock* clock,
                                                 Logger* logger, bool* created);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_STORE_LOCATION_H_
