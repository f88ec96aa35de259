#include "controlplane/health/readiness.h"

#include <utility>

namespace byrnie {

Readiness::Readiness(const Authority* authority, std::vector<std::string> issuing,
                     std::vector<std::string> others, Logger* logger, MetricRegistry* metrics)
    : authority_(authority),
      issuing_(std::move(issuing)),
      others_(std::move(others)),
      logger_(logger),
      ready_(metrics->AddGauge(
          "byrnie_controlplane_ready",
          "1 while agents may be sent here: 0 where every certificate would be refused.")) {}

void Readiness::Update(const Report& report) {
  const absl::Status status = Check();
  ready_->Set(status.ok() ? 1 : 0);
  if (reported_ == status.ok()) return;
  if (!status.ok()) {
    logger_->Error("not ready: no certificate is issued", {{"error", status.message()}});
  } else if (reported_.has_value()) {
    logger_->Info("ready: certificates are issued again");
  }
  if (!reported_.has_value()) {
    for (const std::string& service : others_) report(service, true);
  }
  reported_ = status.ok();
  for (const std::string& service : issuing_) report(service, status.ok());
  report("", status.ok());
}

}  // namespace byrnie
