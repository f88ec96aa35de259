#ifndef BYRNIE_CTL_INSTALL_CLUSTER_API_H_
#define BYRNIE_CTL_INSTALL_CLUSTER_API_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "controlplane/kubernetes/api_client.h"
#include "deploy/injector/json.h"

namespace byrnie {

// An API server, asked by one thread that waits for each answer.
class ClusterApi {
 public:
  virtual ~ClusterApi() = default;
  // Whatever it answers; the errors of ApiClient when it does not.
  virtual absl::StatusOr<ApiResponse> Call(ApiRequest request) = 0;
};

// The object of a 2xx answer, or ApiError().
absl::StatusOr<Json> CallForObject(ClusterApi* cluster, ApiRequest request);
// GET of a path, with its query.
absl::StatusOr<Json> GetObject(ClusterApi* cluster, const std::string& target);
// All items of a list, by pages of `page`; `query` without limit and continue, "" for none.
absl::StatusOr<std::vector<Json>> ListObjects(ClusterApi* cluster, const std::string& path,
                                              const std::string& query, int page = 500);

// How an API server calls objects of one kind in its paths. A value.
struct ResourceType {
  // "/api/v1" or "/apis/apps/v1".
  std::string root;
  std::string plural;
  bool namespaced = false;

  // Of all of them, in all namespaces.
  std::string ListPath() const { return root + "/" + plural; }
  // Of those of a namespace, which does not matter where they have none.
  std::string ListPath(absl::string_view ns) const;
  std::string Path(absl::string_view ns, absl::string_view name) const;
};

// What an API server has, asked for once for each group and version.
class ResourceTypes {
 public:
  // `cluster` outlives it.
  explicit ResourceTypes(ClusterApi* cluster) : cluster_(cluster) {}

  // The type of "apps/v1", "StatefulSet". NotFound: this server does not know it.
  absl::StatusOr<ResourceType> Find(const std::string& api_version, const std::string& kind);

 private:
  ClusterApi* const cluster_;  // Not owned.
  // By api version, then kind; of a version that is not served, nothing.
  std::map<std::string, std::map<std::string, ResourceType>> known_;
};

// "demo" and "web" of an object's metadata; "" where there is none.
std::string NamespaceOf(const Json& object);
std::string ObjectNameOf(const Json& object);
// "StatefulSet byrnie-system/byrnie-controlplane".
std::string DescribeObject(const Json& object);

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_CLUSTER_API_H_
