#ifndef BYRNIE_CONTROLPLANE_WEBHOOK_WEBHOOK_HANDLER_H_
#define BYRNIE_CONTROLPLANE_WEBHOOK_WEBHOOK_HANDLER_H_

#include <map>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/http/http_message.h"
#include "common/net/socket_address.h"
#include "common/telemetry/line_budget.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "deploy/injector/admission.h"
#include "deploy/injector/injector_config.h"

namespace byrnie {

using InjectorConfigPtr = std::shared_ptr<const InjectorConfig>;

// What the injection webhook answers, counts and logs. Whoever reaches its port may ask, so that
// its lines in the log are LineBudget's. Lives on one loop; the pointers outlive it.
class WebhookHandler {
 public:
  WebhookHandler(InjectorConfigPtr config, const Clock* clock, Logger* logger,
                 MetricRegistry* metrics);
  WebhookHandler(const WebhookHandler&) = delete;
  WebhookHandler& operator=(const WebhookHandler&) = delete;

  // For the requests that come from now on.
  void SetConfig(InjectorConfigPtr config) { config_ = std::move(config); }

  // 200 with the AdmissionReview that answers one, 415 for what is no application/json, 400 for
  // what is no such review. `came`: when, by the clock.
  HttpResponse Inject(const HttpRequest& request, absl::Duration came);

  // A client has not come through the handshake.
  void OnHandshakeFailed(const SocketAddress& peer, const absl::Status& status);

 private:
  HttpResponse Answer(const HttpRequest& request);
  HttpResponse Reject(int status, absl::string_view why, const HttpRequest& request);
  void Report(const AdmissionAnswer& answer);

  InjectorConfigPtr config_;
  const Clock* const clock_;  // Not owned.
  Logger* const logger_;      // Not owned.
  std::map<AdmissionAnswer::Outcome, Counter*> outcomes_;
  Counter* const invalid_;
  Counter* const handshakes_failed_;
  Histogram* const seconds_;
  LineBudget said_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_WEBHOOK_WEBHOOK_HANDLER_H_
