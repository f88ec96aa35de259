#include "deploy/redirect/watch.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace byrnie {

absl::StatusOr<OnDrift> ParseOnDrift(absl::string_view text) {
  if (text == "report") return OnDrift::kReport;
  if (text == "repair") return OnDrift::kRepair;
  if (text == "fail-closed") return OnDrift::kFailClosed;
  return absl::InvalidArgumentError(
      absl::StrCat("--on_drift=", text, ": not known; give report, repair or fail-closed"));
}

Watch::Watch(WatchedRules* rules, OnDrift on_drift, Logger* logger,
             absl::AnyInvocable<void(const Counts& counts)> on_change)
    : rules_(rules), on_drift_(on_drift), logger_(logger), on_change_(std::move(on_change)) {}

void Watch::Start() {
  logger_->Info("watching the redirect rules");
  if (on_drift_ == OnDrift::kReport) return;
  if (const absl::Status held = rules_->Hold(); !held.ok()) {
    logger_->Warning("whoever empties the redirect rules opens the pod until the next check",
                     {{"error", held.message()}});
  }
}

void Watch::Check() {
  const Counts before = counts_;
  ++counts_.checks;
  const absl::StatusOr<std::string> difference = rules_->Difference();
  if (!difference.ok()) {
    counts_.in_place = false;
    Failed("cannot read the redirect rules", difference.status());
  } else if (difference->empty()) {
    if (!last_difference_.empty()) logger_->Info("the redirect rules are in place again");
    last_difference_.clear();
    last_failure_.clear();
    counts_.in_place = true;
  } else {
    OnDifference(*difference);
  }
  const bool changed = counts_.drifts != before.drifts || counts_.repairs != before.repairs ||
                       counts_.failures != before.failures || counts_.in_place != before.in_place;
  if ((changed || before.checks == 0) && on_change_) on_change_(counts_);
}

void Watch::OnDifference(const std::string& difference) {
  counts_.in_place = false;
  if (difference != last_difference_) {
    ++counts_.drifts;
    logger_->Warning(
        "the redirect rules are not as they should be",
        {{"difference", difference}, {"drifts", counts_.drifts}, {"repairs", counts_.repairs}});
    last_difference_ = difference;
  }
  if (on_drift_ == OnDrift::kRepair) Repair();
  if (on_drift_ == OnDrift::kFailClosed) Close();
}

void Watch::Repair() {
  const absl::Status applied = rules_->Apply();
  if (!applied.ok()) {
    Failed("cannot repair the redirect rules", applied);
    Close();
    return;
  }
  ++counts_.repairs;
  counts_.in_place = true;
  last_difference_.clear();
  last_failure_.clear();
  logger_->Info("repaired the redirect rules",
                {{"drifts", counts_.drifts}, {"repairs", counts_.repairs}});
}

void Watch::Close() {
  if (const absl::Status closed = rules_->Close(); !closed.ok()) {
    Failed("cannot close the pod", closed);
    return;
  }
  // What closing adds to the difference is no drift.
  absl::StatusOr<std::string> difference = rules_->Difference();
  if (!difference.ok() || *difference == last_difference_) return;
  last_difference_ = *std::move(difference);
  logger_->Error("closed the pod: all TCP but the proxy's own is rejected",
                 {{"remedy", "find out who changed the rules, then byrnie-redirect apply"}});
}

void Watch::Failed(absl::string_view message, const absl::Status& status) {
  ++counts_.failures;
  if (last_failure_ == status.message()) return;
  last_failure_ = std::string(status.message());
  logger_->Error(message, {{"error", status.message()}, {"failures", counts_.failures}});
}

std::string WatchMetricsText(const Watch::Counts& counts) {
  std::string text;
  const auto add = [&text](absl::string_view name, absl::string_view type, absl::string_view help,
                           uint64_t value) {
    absl::StrAppend(&text, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n", name,
                    " ", value, "\n");
  };
  add("byrnie_redirect_drifts_total", "counter",
      "Times the redirect rules were found not as they should be.", counts.drifts);
  add("byrnie_redirect_repairs_total", "counter", "Times the redirect rules were repaired.",
      counts.repairs);
  add("byrnie_redirect_failures_total", "counter", "Checks and repairs that the kernel refused.",
      counts.failures);
  add("byrnie_redirect_rules_in_place", "gauge",
      "1 while the redirect rules are as they should be.", counts.in_place ? 1 : 0);
  return text;
}

}  // namespace byrnie
