#include "certagent/sign_audit.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/base/check.h"

namespace byrnie {
namespace {

constexpr absl::Duration kMinute = absl::Minutes(1);
constexpr size_t kFingerprintShown = 64;

}  // namespace

constexpr int SignAudit::kLinesPerMinute;

SignAudit::SignAudit(EventLoop* loop, Logger* log)
    : log_(log), minute_(loop->NewTimer([this] { Summarize(); })) {}

void SignAudit::Record(absl::string_view leaf_fingerprint_hex, uint32_t scheme, size_t input_size,
                       const absl::Status& answer) {
  if (!counting_) {
    counting_ = true;
    minute_->Schedule(kMinute);
  }
  if (answer.ok()) {
    ++signed_;
    return;
  }
  if (++refused_ > kLinesPerMinute) return;
  log_->Warning("signature refused",
                {{"log", "audit"},
                 {"reason", answer.message()},
                 {"leaf_sha256", leaf_fingerprint_hex.substr(0, kFingerprintShown)},
                 {"scheme", absl::StrFormat("0x%04x", scheme)},
                 {"input_bytes", static_cast<uint64_t>(input_size)}});
}

void SignAudit::Summarize() {
  log_->Log(refused_ > 0 ? LogLevel::kWarning : LogLevel::kInfo, "signatures of the last minute",
            {{"log", "audit"},
             {"signed", signed_},
             {"refused", refused_},
             {"refused_without_a_line", std::max<int64_t>(0, refused_ - kLinesPerMinute)}});
  counting_ = false;
  signed_ = refused_ = 0;
}

}  // namespace byrnie
