#include "controlplane/trust/bundle_file.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/crypto/certificate.h"

namespace byrnie {

namespace {

constexpr size_t kMostRead = 1024 * 1024;

}  // namespace

constexpr absl::Duration BundleFile::kInterval;
constexpr absl::Duration BundleFile::kContestedInterval;
constexpr absl::Duration BundleFile::kUndisturbed;

std::string RootsPem(const AuthoritySnapshot& snapshot) {
  std::string pem;
  for (const CertificatePtr& root : snapshot.roots) absl::StrAppend(&pem, root->ToPem());
  return pem;
}

BundleFile::Found BundleFile::Look(const std::string& pem) {
  const absl::optional<FileFingerprint> now = TakeFileFingerprint(path_);
  if (!now.has_value()) return Found::kNothing;
  if (now == seen_ && held_ == pem) return Found::kOurs;
  const absl::StatusOr<std::string> content = ReadFile(path_, kMostRead);
  if (!content.ok()) return Found::kNothing;
  if (*content == pem) {
    seen_ = now;
    held_ = pem;
    return Found::kOurs;
  }
  // What an earlier process has left, or we, before the roots were others, is nobody else's.
  if (held_.empty() || *content == held_) return Found::kNothing;
  return Certificate::ListFromPem(*content).ok() ? Found::kAnothers : Found::kNothing;
}

void BundleFile::NoteOthers(Found found, absl::Duration now) {
  if (found == Found::kOurs) stood_ = true;
  if (found == Found::kAnothers && stood_) {
    ++others_;
    other_at_ = now;
    stood_ = false;
  } else if (others_ > 0 && now >= other_at_ + kUndisturbed) {
    others_ = 0;
  }
}

absl::Status BundleFile::Write() {
  bool written = false;
  looked_for_ = authority_->snapshot();
  next_look_ = clock_->MonotonicNow() + kInterval;
  RemoveLeftTemporaries(path_);
  return WriteRoots(&written);
}

absl::Status BundleFile::WriteRoots(bool* written) {
  const std::string pem = RootsPem(*looked_for_);
  const absl::Duration now = clock_->MonotonicNow();
  const Found found = Look(pem);
  NoteOthers(found, now);
  const bool contested = others_ > kAccidents;
  // From one writing to the next: somebody else finds what he wants meanwhile, and stops.
  if (contested) next_look_ = now + kContestedInterval;
  absl::Status status;
  if (found != Found::kOurs) {
    status = WriteFileAtomically(path_, pem, 0644);
    *written = status.ok();
    if (status.ok()) {
      held_ = pem;
      stood_ = true;
    }
    seen_.reset();
  }
  absl::MutexLock lock(&mu_);
  if (status.ok()) {
    state_ = !contested
                 ? absl::OkStatus()
                 : absl::FailedPreconditionError(absl::StrCat(
                       "somebody else writes --trust_bundle_out ", absl::Utf8SafeCEscape(path_),
                       ": give each control plane a path of its own"));
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
  Tell(status, failed, written && !changed, now);
}

void BundleFile::Tell(const absl::Status& status, bool failed, bool put_back, absl::Duration now) {
  if (!status.ok()) {
    if (!failures_said_.Admit(status.message(), now).has_value()) return;
    logger_->Error("cannot write the trust bundle", {{"error", status.message()}});
    return;
  }
  const absl::Status now_is = state();
  if (!now_is.ok()) {
    if (!failures_said_.Admit(now_is.message(), now).has_value()) return;
    logger_->Error("the trust bundle does not stay as it is written",
                   {{"error", now_is.message()}});
    return;
  }
  failures_said_.Reset();
  if (failed) {
    logger_->Info("the trust bundle is written again", {{"path", path_}});
  } else if (put_back && others_said_.Admit("", now).has_value()) {
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
