#include "ctl/install/cluster_connection.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_macros.h"
#include "ctl/install/exec_credential.h"

namespace byrnie {

ClusterConnection::ClusterConnection(ApiServer server)
    : logger_(STDERR_FILENO, Logger::Format::kText, LogLevel::kError),
      credentials_(std::move(server), &logger_) {}

absl::StatusOr<std::unique_ptr<ClusterConnection>> ClusterConnection::Create(ApiServer server) {
  if (server.exec.has_value()) RETURN_IF_ERROR(RunExecPlugin(&server));
  std::unique_ptr<ClusterConnection> made(new ClusterConnection(std::move(server)));
  // What is wrong with them is said before anybody is asked.
  RETURN_IF_ERROR(made->credentials_.Context().status());
  RETURN_IF_ERROR(made->credentials_.Token().status());
  ASSIGN_OR_RETURN(made->loop_, EpollEventLoop::Create(&made->clock_));
  made->connector_ = std::make_unique<TlsApiConnector>(made->loop_.get(), &made->credentials_);
  made->client_ = std::make_unique<HttpApiClient>(made->loop_.get(), made->connector_.get(),
                                                  &made->credentials_, "byrniectl");
  return made;
}

absl::StatusOr<ApiResponse> ClusterConnection::Call(ApiRequest request) {
  absl::optional<absl::StatusOr<ApiResponse>> answer;
  ApiClient::Handlers handlers;
  handlers.on_done = [this, &answer](absl::StatusOr<ApiResponse> response) {
    answer = std::move(response);
    loop_->Stop();
  };
  const std::unique_ptr<ApiClient::Call> call =
      client_->Send(std::move(request), std::move(handlers));
  loop_->Run();
  if (answer->ok()) return *std::move(answer);
  return absl::Status(answer->status().code(),
                      absl::StrCat(Url(), ": ", answer->status().message()));
}

std::string ClusterConnection::Url() const { return credentials_.server().Url(); }

}  // namespace byrnie
