#include "controlplane/kubernetes/http_api_client.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace byrnie {

class HttpApiClient::CallImpl final : public ApiClient::Call {
 public:
  CallImpl(HttpApiClient* client, ApiRequest request, Handlers handlers)
      : client_(client),
        request_(std::move(request)),
        handlers_(std::move(handlers)),
        begin_(client->loop_->NewDeferred([this] { Begin(); })) {
    begin_->Schedule();
  }
  ~CallImpl() override {
    --client_->calls_;
    if (destroyed_ != nullptr) *destroyed_ = true;
    if (connection_ == nullptr) return;
    connection_->Abandon();
    client_->Return(std::move(connection_));
  }

 private:
  void Begin() {
    if (client_->calls_ > kMaxCalls) {
      return Tell(absl::ResourceExhaustedError("too many requests to the API server under way"));
    }
    connection_ = client_->TakeIdle();
    reused_ = connection_ != nullptr;
    if (reused_) return Ask();
    Connect();
  }

  void Connect() {
    attempt_ =
        client_->connector_->Connect([this](absl::StatusOr<std::unique_ptr<ByteStream>> stream) {
          if (!stream.ok()) return Tell(stream.status());
          connection_ = std::make_unique<HttpClientConnection>(client_->loop_, *std::move(stream));
          Ask();
        });
  }

  void Ask() {
    absl::StatusOr<std::string> bytes = client_->Serialize(request_);
    if (!bytes.ok()) return Tell(absl::UnavailableError(bytes.status().message()));
    HttpClientConnection::Limits limits;
    limits.timeout = request_.timeout;
    limits.head_timeout = std::min(limits.head_timeout, request_.timeout);
    limits.max_body = request_.max_body;
    HttpClientConnection::Handlers handlers;
    if (handlers_.on_data != nullptr) {
      handlers.on_data = [this](absl::string_view bytes) { OnData(bytes); };
    }
    handlers.on_done = [this](absl::StatusOr<HttpClientConnection::Response> response) {
      OnDone(std::move(response));
    };
    connection_->Send(*std::move(bytes), limits, std::move(handlers));
  }

  void OnData(absl::string_view bytes) {
    // It may destroy the call, and with it the handler.
    auto on_data = std::move(handlers_.on_data);
    bool destroyed = false;
    destroyed_ = &destroyed;
    on_data(bytes);
    if (destroyed) return;
    destroyed_ = nullptr;
    handlers_.on_data = std::move(on_data);
  }

  void OnDone(absl::StatusOr<HttpClientConnection::Response> response) {
    const bool stale = !response.ok() && reused_ && !connection_->has_response();
    client_->Return(std::move(connection_));
    if (stale) {
      reused_ = false;
      return Connect();
    }
    if (!response.ok()) return Tell(response.status());
    ApiResponse answer;
    answer.status = response->head.status;
    answer.retry_after = response->head.retry_after;
    answer.body = std::move(response->body);
    Tell(std::move(answer));
  }

  // Last: it may destroy the call.
  void Tell(absl::StatusOr<ApiResponse> response) {
    auto on_done = std::move(handlers_.on_done);
    on_done(std::move(response));
  }

  HttpApiClient* const client_;  // Not owned.
  const ApiRequest request_;
  Handlers handlers_;
  std::unique_ptr<EventLoop::Deferred> begin_;
  std::unique_ptr<ApiConnector::Attempt> attempt_;
  Connection connection_;
  bool reused_ = false;
  bool* destroyed_ = nullptr;  // Set while on_data runs.
};

HttpApiClient::HttpApiClient(EventLoop* loop, ApiConnector* connector, ApiCredentials* credentials,
                             std::string user_agent)
    : loop_(loop),
      connector_(connector),
      credentials_(credentials),
      user_agent_(std::move(user_agent)),
      bury_(loop->NewDeferred([this] { retired_.clear(); })) {}

HttpApiClient::~HttpApiClient() = default;

std::unique_ptr<ApiClient::Call> HttpApiClient::Send(ApiRequest request, Handlers handlers) {
  ++calls_;
  return std::make_unique<CallImpl>(this, std::move(request), std::move(handlers));
}

HttpApiClient::Connection HttpApiClient::TakeIdle() {
  while (!idle_.empty()) {
    Connection connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->idle()) return connection;
  }
  return nullptr;
}

void HttpApiClient::Return(Connection connection) {
  if (connection->idle() && idle_.size() < kMaxIdle) {
    idle_.push_back(std::move(connection));
    return;
  }
  retired_.push_back(std::move(connection));
  bury_->Schedule();
}

absl::StatusOr<std::string> HttpApiClient::Serialize(const ApiRequest& request) {
  ASSIGN_OR_RETURN(absl::string_view token, credentials_->Token());
  std::string bytes =
      absl::StrCat(request.method, " ", credentials_->server().path_prefix, request.target,
                   " HTTP/1.1\r\nHost: ", credentials_->server().Authority(),
                   "\r\nUser-Agent: ", user_agent_, "\r\nAccept: ", request.accept, "\r\n");
  if (!token.empty()) absl::StrAppend(&bytes, "Authorization: Bearer ", token, "\r\n");
  for (const auto& [name, value] : credentials_->server().headers) {
    absl::StrAppend(&bytes, name, ": ", value, "\r\n");
  }
  if (!request.body.empty()) {
    absl::StrAppend(&bytes, "Content-Type: ", request.content_type,
                    "\r\nContent-Length: ", request.body.size(), "\r\n");
  }
  absl::StrAppend(&bytes, "\r\n", request.body);
  return bytes;
}

}  // namespace byrnie
