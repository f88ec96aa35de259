#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_HTTP_API_CLIENT_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_HTTP_API_CLIENT_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "common/event/event_loop.h"
#include "common/http/http_client_connection.h"
#include "controlplane/kubernetes/api_client.h"
#include "controlplane/kubernetes/api_connector.h"
#include "controlplane/kubernetes/api_credentials.h"

namespace byrnie {

// The ApiClient over HTTP/1.1: a connection for each request under way, kept for the next one
// afterwards. A watch has one for itself. The token is that of the moment a request is sent.
//
// A request on a kept connection that ends without an answer is sent once more on a new one: its
// server had closed it. What is sent through this client may be done twice.
class HttpApiClient final : public ApiClient {
 public:
  // Requests under way, watches among them.
  static constexpr size_t kMaxCalls = 64;
  static constexpr size_t kMaxIdle = 4;

  // The pointers outlive it. `user_agent` is who the API server logs.
  HttpApiClient(EventLoop* loop, ApiConnector* connector, ApiCredentials* credentials,
                std::string user_agent = "byrnie-controlplane");
  ~HttpApiClient() override;

  std::unique_ptr<Call> Send(ApiRequest request, Handlers handlers) override;

 private:
  class CallImpl;
  using Connection = std::unique_ptr<HttpClientConnection>;

  // A kept one that is still good; null: none.
  Connection TakeIdle();
  // Takes back what a call no longer needs. From within the connection's own calls, too.
  void Return(Connection connection);
  absl::StatusOr<std::string> Serialize(const ApiRequest& request);

  EventLoop* const loop_;              // Not owned.
  ApiConnector* const connector_;      // Not owned.
  ApiCredentials* const credentials_;  // Not owned.
  const std::string user_agent_;
  size_t calls_ = 0;
  std::vector<Connection> idle_;
  // To be destroyed outside their own calls.
  std::vector<Connection> retired_;
  std::unique_ptr<EventLoop::Deferred> bury_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_HTTP_API_CLIENT_H_
