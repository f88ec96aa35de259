#include "controlplane/webhook/webhook_handler.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

using Outcome = AdmissionAnswer::Outcome;

constexpr char kRequests[] = "byrnie_controlplane_webhook_requests_total";
constexpr char kRequestsHelp[] =
    "Requests to the injection webhook, by what they came to: injected, updated, unchanged, "
    "opted_out, refused (started without Byrnie), denied (not started), not_a_new_pod, invalid (no "
    "review).";

// With or without parameters, as "; charset=utf-8".
bool IsJson(absl::string_view content_type) {
  const absl::string_view type = content_type.substr(0, content_type.find(';'));
  return absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(type), "application/json");
}

}  // namespace

WebhookHandler::WebhookHandler(InjectorConfigPtr config, const Clock* clock, Logger* logger,
                               MetricRegistry* metrics)
    : config_(std::move(config)),
      clock_(clock),
      logger_(logger),
      invalid_(metrics->AddCounter(kRequests, kRequestsHelp, {{"outcome", "invalid"}})),
      handshakes_failed_(metrics->AddCounter(
          "byrnie_controlplane_webhook_handshakes_failed_total",
          "TLS handshakes with the injection webhook that failed: an API server that does not "
          "trust its certificate, or whoever it was.")),
      seconds_(metrics->AddHistogram(
          "byrnie_controlplane_webhook_seconds",
          "What answering a request to the injection webhook took, from "
          "when it had come.",
          {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2, 10})) {
  for (const Outcome outcome : AdmissionAnswer::kOutcomes) {
    outcomes_[outcome] = metrics->AddCounter(
        kRequests, kRequestsHelp, {{"outcome", std::string(AdmissionAnswer::NameOf(outcome))}});
  }
}

HttpResponse WebhookHandler::Inject(const HttpRequest& request, absl::Duration came) {
  HttpResponse response = Answer(request);
  seconds_->Observe(absl::ToDoubleSeconds(clock_->MonotonicNow() - came));
  return response;
}

HttpResponse WebhookHandler::Answer(const HttpRequest& request) {
  if (!IsJson(request.content_type)) {
    return Reject(415, "the body has to be application/json", request);
  }
  absl::StatusOr<AdmissionAnswer> answer = AnswerAdmissionReview(*config_, request.body);
  if (!answer.ok()) return Reject(400, answer.status().message(), request);
  outcomes_.at(answer->outcome)->Increment();
  Report(*answer);
  return {200, "application/json", std::move(answer->review)};
}

HttpResponse WebhookHandler::Reject(int status, absl::string_view why, const HttpRequest& request) {
  invalid_->Increment();
  const absl::optional<uint64_t> unsaid = said_.Admit(clock_->MonotonicNow());
  if (unsaid.has_value()) {
    logger_->Warning(
        "webhook request rejected",
        {{"address", request.peer.ToString()}, {"error", why}, {"not_logged", *unsaid}});
  }
  return {status, "text/plain; charset=utf-8", absl::StrCat(why, "\n")};
}

void WebhookHandler::Report(const AdmissionAnswer& answer) {
  if (answer.outcome == Outcome::kUnchanged || answer.outcome == Outcome::kNotANewPod) return;
  const absl::optional<uint64_t> unsaid = said_.Admit(clock_->MonotonicNow());
  if (!unsaid.has_value()) return;
  const bool amiss = answer.outcome == Outcome::kRefused || answer.outcome == Outcome::kDenied;
  logger_->Log(amiss ? LogLevel::kWarning : LogLevel::kInfo, "pod reviewed",
               {{"outcome", AdmissionAnswer::NameOf(answer.outcome)},
                {"namespace", answer.pod_namespace},
                {"pod", answer.pod_name},
                {"reason", answer.why},
                {"not_logged", *unsaid}});
}

void WebhookHandler::OnHandshakeFailed(const SocketAddress& peer, const absl::Status& status) {
  handshakes_failed_->Increment();
  const absl::optional<uint64_t> unsaid = said_.Admit(clock_->MonotonicNow());
  if (!unsaid.has_value()) return;
  logger_->Warning(
      "webhook's TLS handshake failed",
      {{"address", peer.ToString()}, {"error", status.message()}, {"not_logged", *unsaid}});
}

}  // namespace byrnie
