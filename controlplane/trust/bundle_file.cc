#include "controlplane/trust/bundle_file.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/file.h"

namespace byrnie {

constexpr absl::Duration BundleFile::kInterval;

std::string RootsPem(const AuthoritySnapshot& snapshot) {
  std::string pem;
  for (const CertificatePtr& root : snapshot.roots) absl::StrAppend(&pem, root->ToPem());
  return pem;
}

bool BundleFile::Holds(const std::string& pem) {
  const absl::optional<FileFingerprint> now = TakeFileFingerprint(path_);
  if (!now.has_value()) return false;
  if (now == seen_ && held_ == pem) return true;
  const absl::StatusOr<std::string> content = ReadFile(path_, pem.size());
  if (!content.ok() || *content != pem) return false;
  seen_ = now;
  held_ = pem;
  return true;
}

absl::Status BundleFile::Write() {
  bool written = false;
  looked_for_ = authority_->snapshot();
  next_look_ = clock_->MonotonicNow() + kInterval;
  return WriteRoots(&written);
}

absl::Status BundleFile::WriteRoots(bool* written) {
  const std::string pem = RootsPem(*looked_for_);
  absl::Status status;
  if (!Holds(pem)) {
    status = WriteFileAtomically(path_, pem, 0644);
    *written = status.ok();
  }
  absl::MutexLock lock(&mu_);
  if (status.ok()) {
    state_ = absl::OkStatus();
    has_ = looked_for_;
    return status;
  }
  // The message names the path, and at its end what is in the way. Others are told, who take text
  // only.
  const absl::string_view message = status.message();
  const size_t colon = message.rfind(": ");
  const absl::string_view why =
      colon == absl::string_view::npos ? message : message.substr(colon + 2);
  state_ = absl::Status(status.code(), absl::StrCat("cannot write --trust_bundle_out ",
                                                    absl::Utf8SafeCEscape(path_), ": ", why));
  return status;
}

void BundleFile::Keep() {
  const absl::Duration now = clock_->MonotonicNow();
  const AuthoritySnapshotPtr snapshot = authority_->snapshot();
  const bool changed = snapshot != looked_for_;
  if (!changed && now < next_look_) return;
  looked_for_ = snapshot;
  next_look_ = now + kInterval;
  const bool failed = !state().ok();
  bool written = false;
  const absl::Status status = WriteRoots(&written);
  if (!status.ok()) {
    if (!failures_said_.Admit(status.message(), now).has_value()) return;
    logger_->Error("cannot write the trust bundle", {{"error", status.message()}});
    return;
  }
  failures_said_.Reset();
  if (failed) {
    logger_->Info("the trust bundle is written again", {{"path", path_}});
  } else if (written && !changed && others_said_.Admit("", now).has_value()) {
    logger_->Warning("the file of the trust bundle was gone or another one, and is written again",
                     {{"path", path_}});
  }
}

absl::Status BundleFile::state() const {
  absl::MutexLock lock(&mu_);
  return state_;
}

std::string BundleFile::WhyWithout(absl::string_view root) const {
  absl::MutexLock lock(&mu_);
  if (!state_.ok()) return std::string(state_.message());
  if (root.empty()) return "";
  const bool has = has_ != nullptr && std::any_of(has_->roots.begin(), has_->roots.end(),
                                                  [root](const CertificatePtr& certificate) {
                                                    return certificate->FingerprintHex() == root;
                                                  });
  if (has) return "";
  return absl::StrCat("has not written the next root to --trust_bundle_out ",
                      absl::Utf8SafeCEscape(path_), " yet");
}

}  // namespace byrnie
