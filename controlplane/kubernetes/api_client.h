#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_API_CLIENT_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_API_CLIENT_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"

namespace byrnie {

// One request to a Kubernetes API server. A value.
struct ApiRequest {
  std::string method = "GET";
  // With the query, encoded: "/api/v1/pods?limit=500".
  std::string target;
  std::string accept = "application/json";
  // With `body`.
  std::string content_type = "application/json";
  std::string body;
  // Until the whole response has come.
  absl::Duration timeout = absl::Seconds(30);
  // Of a body that is kept.
  size_t max_body = 16 * 1024 * 1024;
};

struct ApiResponse {
  int status = 0;
  std::string body;
  absl::optional<absl::Duration> retry_after;

  bool ok() const { return status / 100 == 2; }
};

// What a response that is not ok() means, with what the server says of it: NotFound (404, 410 is
// OutOfRange: what was asked for is too old), PermissionDenied (403), Unauthenticated (401),
// AlreadyExists (409), InvalidArgument (400, 405, 406, 415, 422), Unavailable for all else.
absl::Status ApiError(const ApiResponse& response);
// How a request ended: why there is no response, or what the one there is means.
absl::Status StatusOf(const absl::StatusOr<ApiResponse>& response);

// Text for a query's name or value.
std::string EncodeQuery(absl::string_view text);

// Asks a Kubernetes API server. Lives on one loop; no handler runs inside the call that made it.
class ApiClient {
 public:
  // A request under way; destroying it gives it up, and its handlers do not run any more. May be
  // destroyed in its own handlers, and is gone before the client.
  class Call {
   public:
    virtual ~Call() = default;
  };
  struct Handlers {
    // Given the body of a 2xx response as it comes, which is then not in ApiResponse. Empty: it is
    // kept.
    absl::AnyInvocable<void(absl::string_view bytes)> on_data;
    // Once, with whatever the server answered. Unavailable: it could not be asked; Unauthenticated:
    // it did not prove that it is the API server; DataLoss: the connection broke within a body;
    // ResourceExhausted: the body was too large, or too many requests are under way.
    absl::AnyInvocable<void(absl::StatusOr<ApiResponse>)> on_done;
  };

  virtual ~ApiClient() = default;
  virtual std::unique_ptr<Call> Send(ApiRequest request, Handlers handlers) = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_API_CLIENT_H_
