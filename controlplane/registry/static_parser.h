#ifndef BYRNIE_CONTROLPLANE_REGISTRY_STATIC_PARSER_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_STATIC_PARSER_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/registry/content.h"

namespace byrnie {

// Reads the text of a registry file: a JSON object with "workloads", "services" and "policies",
// each a list. Every workload is of `trust_domain` unless it says otherwise. InvalidArgument names
// the place and what is wrong there; members nobody knows are errors. What entries say about each
// other is checked by RegistrySnapshot::Create.
absl::StatusOr<RegistryContent> ParseRegistryFile(absl::string_view text,
                                                  const std::string& trust_domain);

// Larger files are refused.
inline constexpr size_t kMaxRegistryFileSize = 64 * 1024 * 1024;

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_STATIC_PARSER_H_
