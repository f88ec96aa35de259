#ifndef BYRNIE_CERTAGENT_WORKLOAD_API_SECRET_CATALOG_H_
#define BYRNIE_CERTAGENT_WORKLOAD_API_SECRET_CATALOG_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "certagent/workload_api/workload_state.h"
#include "google/protobuf/any.pb.h"

namespace byrnie {

extern const char kSecretTypeUrl[];

// What secret discovery can give, by name: "default" and the SPIFFE ID (the certificate and its
// key), "ROOTCA" (the roots of the workload's trust domain), "ALL" (the roots of each trust domain,
// for Envoy's SPIFFE validator), a trust domain ("spiffe://TRUST_DOMAIN", or the bare name where it
// is not one of the others). Immutable, thread-safe.
class SecretCatalog {
 public:
  explicit SecretCatalog(WorkloadStatePtr state);

  // Of the whole; the same for the same content, also in another process.
  const std::string& version() const { return version_; }
  // A digest of what is public of the resource; empty when the name means nothing now.
  std::string VersionOf(absl::string_view name) const;
  // What a client gets that names nothing: the identity and every trust domain.
  std::vector<std::string> DefaultNames() const;
  // The Secret of a name that has a version. May hold the private key: to be wiped with WipeSecret.
  google::protobuf::Any Resource(absl::string_view name) const;

 private:
  // A name without its other spellings.
  struct Item {
    enum Kind { kNone, kCertificate, kRoots, kAllRoots } kind = kNone;
    std::string trust_domain;  // Of kRoots.
  };
  Item Find(absl::string_view name) const;

  const WorkloadStatePtr state_;
  std::string certificate_version_, all_roots_version_, version_;
  std::map<std::string, std::string, std::less<>> roots_versions_;  // By trust domain.
};

// Overwrites a resource.
void WipeSecret(google::protobuf::Any* resource);

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_WORKLOAD_API_SECRET_CATALOG_H_
