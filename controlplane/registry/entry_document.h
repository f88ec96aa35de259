#ifndef BYRNIE_CONTROLPLANE_REGISTRY_ENTRY_DOCUMENT_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_ENTRY_DOCUMENT_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/registry/content.h"
#include "istio/workload/workload.pb.h"

namespace byrnie {

// Documents of byrnie.operator.v1: workloads and services in the shape of the registry file.

inline constexpr size_t kMaxRegistryDocument = 512 * 1024;
// What is stored of each, and what goes with it, is one transaction.
inline constexpr size_t kMaxRegistryDocumentEntries = 45;

// InvalidArgument with the place in "document": no JSON, no or too many entries, policies, an entry
// that is wrong by itself, a uid that no record can have.
absl::StatusOr<RegistryContent> ParseRegistryDocument(absl::string_view text,
                                                      const std::string& trust_domain);

// The document of one entry, with what it says and the trust domain: read again it is the same
// entry.
std::string WriteRegistryDocument(const istio::workload::Workload& workload);
std::string WriteRegistryDocument(const istio::workload::Service& service);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_ENTRY_DOCUMENT_H_
