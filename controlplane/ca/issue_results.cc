#include "controlplane/ca/issue_results.h"

namespace byrnie {

IssueResults::IssueResults(MetricRegistry* metrics, const char* name, const char* help)
    : issued_(metrics->AddCounter(name, help, {{"result", "issued"}})),
      unauthenticated_(metrics->AddCounter(name, help, {{"result", "unauthenticated"}})),
      invalid_(metrics->AddCounter(name, help, {{"result", "invalid"}})),
      throttled_(metrics->AddCounter(name, help, {{"result", "throttled"}})),
      failed_(metrics->AddCounter(name, help, {{"result", "failed"}})) {}

void IssueResults::Count(const absl::Status& status) const {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return issued_->Increment();
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return unauthenticated_->Increment();
    case absl::StatusCode::kInvalidArgument:
      return invalid_->Increment();
    case absl::StatusCode::kResourceExhausted:
      return throttled_->Increment();
    default:
      return failed_->Increment();
  }
}

}  // namespace byrnie
