#ifndef BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_TOKEN_H_
#define BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_TOKEN_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/telemetry/log.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Makes sure that the file at `path` holds an operator token the store knows, and returns its hash.
// A file that does is left alone; else a new token is written (mode 0600, atomically) and takes the
// place of the old one: who may write that file is the operator. An empty path changes nothing.
// Returns an empty hash when there is no token at all. Errors as the store and common/base/file.h.
absl::StatusOr<std::string> PrepareOperatorToken(const std::string& path, Store* store,
                                                 Logger* logger);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_OPERATOR_OPERATOR_TOKEN_H_
