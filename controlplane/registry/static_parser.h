#ifndef BYRNIE_CONTROLPLANE_REGISTRY_STATIC_PARSER_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_STATIC_PARSER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/json.h"
#include "controlplane/registry/content.h"

namespace byrnie {

// Who gets what is in a registry file, as it is read. An error ends the reading.
class RegistryReader {
 public:
  virtual ~RegistryReader() = default;
  virtual absl::Status OnWorkload(istio::workload::Workload workload) = 0;
  virtual absl::Status OnService(istio::workload::Service service) = 0;
  virtual absl::Status OnPolicy(istio::security::Authorization policy) = 0;
  // After the entries: that there are none is said to be meant.
  virtual void OnMeantEmpty() {}
};

// Reads the text of a registry file: a JSON object with "workloads", "services" and "policies",
// each a list, or with nothing in them and "empty": true. Every workload is of `trust_domain`
// unless it says otherwise. InvalidArgument names the place and what is wrong there; members nobody
// knows are errors. Of a list one entry at a time is in memory. What entries say about each other
// is checked by RegistrySources.
absl::Status ReadRegistryFile(absl::string_view text, const std::string& trust_domain,
                              RegistryReader* reader);
absl::StatusOr<RegistryContent> ParseRegistryFile(absl::string_view text,
                                                  const std::string& trust_domain);

// One entry of those lists.
absl::StatusOr<istio::workload::Workload> ParseWorkloadEntry(const JsonValue& value,
                                                             const std::string& trust_domain);
absl::StatusOr<istio::workload::Service> ParseServiceEntry(const JsonValue& value);

// Larger files are refused.
inline constexpr size_t kMaxRegistryFileSize = 64 * 1024 * 1024;

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_STATIC_PARSER_H_
