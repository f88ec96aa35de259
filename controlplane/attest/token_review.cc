#include "controlplane/attest/token_review.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "common/base/json.h"
#include "common/base/json_writer.h"
#include "common/base/monotonic_cond_var.h"
#include "common/base/secret_bytes.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

constexpr char kTarget[] = "/apis/authentication.k8s.io/v1/tokenreviews";
constexpr size_t kMaxAnswer = 256 * 1024;
constexpr size_t kMaxError = 256;

// The first of a list in "extra"; empty: none. A second one would be a second pod.
absl::StatusOr<std::string> OnlyExtra(const JsonObject& extra, absl::string_view key) {
  ASSIGN_OR_RETURN(std::vector<std::string> values, extra.GetStringArrayOrEmpty(key));
  if (values.empty()) return std::string();
  if (values.size() > 1) return extra.Get(key)->Error("has several values");
  return std::move(values.front());
}

}  // namespace

std::string WriteTokenReview(absl::string_view token, const std::vector<std::string>& audiences) {
  JsonWriter json;
  json.BeginObject().Field("apiVersion", "authentication.k8s.io/v1").Field("kind", "TokenReview");
  json.Key("spec").BeginObject().Field("token", token).Key("audiences").BeginArray();
  for (const std::string& audience : audiences) json.Value(audience);
  json.EndArray().EndObject().EndObject();
  return std::move(json).Finish();
}

absl::StatusOr<TokenReview> ParseTokenReview(absl::string_view text) {
  absl::StatusOr<JsonValue> value = JsonValue::Parse(text, kMaxAnswer);
  // The parser quotes the text, and the server may have sent the token back.
  if (!value.ok()) return absl::InvalidArgumentError("the answer to a TokenReview is not JSON");
  ASSIGN_OR_RETURN(JsonObject object, value->AsObject());
  ASSIGN_OR_RETURN(std::string kind, object.GetString("kind"));
  if (kind != "TokenReview") return object.value().Error("\"kind\" is not TokenReview");
  ASSIGN_OR_RETURN(JsonObject status, object.GetObject("status"));
  TokenReview review;
  ASSIGN_OR_RETURN(review.authenticated, status.GetBoolOr("authenticated", false));
  ASSIGN_OR_RETURN(review.audiences, status.GetStringArrayOrEmpty("audiences"));
  ASSIGN_OR_RETURN(std::string error, status.GetStringOr("error", ""));
  review.error = absl::CHexEscape(error.substr(0, kMaxError));
  if (!status.Has("user")) return review;
  ASSIGN_OR_RETURN(JsonObject user, status.GetObject("user"));
  ASSIGN_OR_RETURN(review.username, user.GetStringOr("username", ""));
  if (!user.Has("extra")) return review;
  ASSIGN_OR_RETURN(JsonObject extra, user.GetObject("extra"));
  ASSIGN_OR_RETURN(review.pod_name, OnlyExtra(extra, "authentication.kubernetes.io/pod-name"));
  ASSIGN_OR_RETURN(review.pod_uid, OnlyExtra(extra, "authentication.kubernetes.io/pod-uid"));
  ASSIGN_OR_RETURN(review.node_name, OnlyExtra(extra, "authentication.kubernetes.io/node-name"));
  return review;
}

struct ApiTokenReviewer::Asked {
  SecretBytes token;
  std::vector<std::string> audiences;
  absl::Duration timeout;
  // Of the loop.
  std::unique_ptr<ApiClient::Call> call;

  absl::Mutex mu;
  MonotonicCondVar answered;
  absl::optional<absl::StatusOr<TokenReview>> answer ABSL_GUARDED_BY(mu);

  void Answer(absl::StatusOr<TokenReview> review) {
    absl::MutexLock lock(&mu);
    if (!answer.has_value()) answer = std::move(review);
    answered.NotifyAll();
  }
};

ApiTokenReviewer::ApiTokenReviewer(ApiClient* client, EventLoop* loop, const Clock* clock)
    : client_(client), loop_(loop), clock_(clock) {}

ApiTokenReviewer::~ApiTokenReviewer() {
  for (const std::shared_ptr<Asked>& asked : under_way_) asked->call.reset();
}

void ApiTokenReviewer::Ask(const std::shared_ptr<Asked>& asked) {
  under_way_.insert(asked);
  ApiRequest request;
  request.method = "POST";
  request.target = kTarget;
  request.body = WriteTokenReview(asked->token.view(), asked->audiences);
  request.timeout = asked->timeout;
  request.max_body = kMaxAnswer;
  ApiClient::Handlers handlers;
  handlers.on_done = [this, asked](absl::StatusOr<ApiResponse> response) {
    const std::shared_ptr<Asked> kept = asked;
    if (!response.ok()) {
      kept->Answer(absl::UnavailableError(response.status().message()));
    } else if (!response->ok()) {
      // Whatever it is, it says nothing of the token: 401 and 403 are about us.
      kept->Answer(absl::UnavailableError(ApiError(*response).message()));
    } else {
      absl::StatusOr<TokenReview> review = ParseTokenReview(response->body);
      kept->Answer(review.ok() ? std::move(review)
                               : absl::UnavailableError(review.status().message()));
    }
    under_way_.erase(kept);
    kept->call.reset();
  };
  asked->call = client_->Send(std::move(request), std::move(handlers));
}

absl::StatusOr<TokenReview> ApiTokenReviewer::Review(absl::string_view token,
                                                     const std::vector<std::string>& audiences,
                                                     absl::Time deadline) {
  auto asked = std::make_shared<Asked>();
  asked->token = SecretBytes(
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(token.data()), token.size()));
  asked->audiences = audiences;
  asked->timeout = deadline - clock_->WallNow();
  if (asked->timeout <= absl::ZeroDuration()) {
    return absl::UnavailableError("there is no time left to ask the API server");
  }
  loop_->Post([this, asked] { Ask(asked); });
  absl::MutexLock lock(&asked->mu);
  const bool answered = asked->answered.AwaitWithTimeout(
      &asked->mu, asked->timeout,
      [&asked]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return asked->answer.has_value(); });
  // The request ends by itself, at the same time.
  if (!answered) return absl::UnavailableError("the API server did not answer in time");
  return *std::move(asked->answer);
}

}  // namespace byrnie
