#ifndef BYRNIE_CTL_INSTALL_CLUSTER_CONNECTION_H_
#define BYRNIE_CTL_INSTALL_CLUSTER_CONNECTION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/event/epoll_event_loop.h"
#include "common/telemetry/log.h"
#include "controlplane/kubernetes/api_connector.h"
#include "controlplane/kubernetes/api_credentials.h"
#include "controlplane/kubernetes/api_server.h"
#include "controlplane/kubernetes/http_api_client.h"
#include "ctl/install/cluster_api.h"

namespace byrnie {

// The API server over the network, with a loop that turns while a call is under way. Of one thread.
class ClusterConnection final : public ClusterApi {
 public:
  // Runs the exec plugin of `server` first, if it has one. InvalidArgument for credentials that
  // cannot be read, FailedPrecondition when the plugin gives none.
  static absl::StatusOr<std::unique_ptr<ClusterConnection>> Create(ApiServer server);

  absl::StatusOr<ApiResponse> Call(ApiRequest request) override;
  // "https://HOST:PORT[/PATH]", for people.
  std::string Url() const;

 private:
  explicit ClusterConnection(ApiServer server);

  SystemClock clock_;
  Logger logger_;
  ApiCredentials credentials_;
  std::unique_ptr<EpollEventLoop> loop_;
  std::unique_ptr<ApiConnector> connector_;
  std::unique_ptr<HttpApiClient> client_;
};

}  // namespace byrnie

#endif  // BYRNIE_CTL_INSTALL_CLUSTER_CONNECTION_H_
