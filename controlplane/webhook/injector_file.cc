#include "controlplane/webhook/injector_file.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "common/crypto/sha256_fingerprint.h"

namespace byrnie {
namespace {

constexpr char kReads[] = "byrnie_controlplane_injector_config_reads_total";
constexpr char kReadsHelp[] = "Times the injector's configuration was read, by result.";

}  // namespace

InjectorFile::InjectorFile(std::string path, InjectorConfig base, bool publishes_roots,
                           Logger* logger, MetricRegistry* metrics)
    : path_(std::move(path)),
      base_(std::move(base)),
      publishes_roots_(publishes_roots),
      logger_(logger),
      reads_ok_(metrics->AddCounter(kReads, kReadsHelp, {{"result", "ok"}})),
      reads_rejected_(metrics->AddCounter(kReads, kReadsHelp, {{"result", "rejected"}})) {}

absl::StatusOr<std::unique_ptr<InjectorFile>> InjectorFile::Create(std::string path,
                                                                   InjectorConfig base,
                                                                   bool publishes_roots,
                                                                   Logger* logger,
                                                                   MetricRegistry* metrics) {
  auto file = absl::WrapUnique(
      new InjectorFile(std::move(path), std::move(base), publishes_roots, logger, metrics));
  file->seen_ = TakeFileFingerprint(file->path_);
  absl::StatusOr<InjectorConfig> config = file->Read(&file->digest_);
  if (!config.ok()) {
    return absl::Status(config.status().code(),
                        absl::StrCat("--injector_config: ", config.status().message()));
  }
  file->config_ = std::make_shared<const InjectorConfig>(*std::move(config));
  return file;
}

absl::StatusOr<InjectorConfig> InjectorFile::Read(std::string* digest) const {
  if (path_.empty()) {
    RETURN_IF_ERROR(base_.Check());
    return base_;
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path_, kMaxInjectorConfig));
  absl::StatusOr<InjectorConfig> config = InjectorConfig::Parse(text, base_);
  absl::Status status = config.status();
  if (status.ok() && config->trust_domain != base_.trust_domain) {
    status = absl::InvalidArgumentError(absl::StrCat("trust_domain: \"", config->trust_domain,
                                                     "\" is not the control plane's, \"",
                                                     base_.trust_domain, "\"; leave it out"));
  }
  if (status.ok() && publishes_roots_ &&
      config->trust_bundle_config_map != base_.trust_bundle_config_map) {
    status = absl::InvalidArgumentError(
        absl::StrCat("trust_bundle_config_map: \"", config->trust_bundle_config_map,
                     "\" is not what the control plane writes the roots to, \"",
                     base_.trust_bundle_config_map, "\"; leave it out"));
  }
  if (status.ok()) {
    *digest = Sha256FingerprintHex(text);
    return config;
  }
  return absl::Status(status.code(), absl::StrCat("file \"", path_, "\": ", status.message()));
}

bool InjectorFile::Poll() {
  if (path_.empty()) return false;
  const absl::optional<FileFingerprint> now = TakeFileFingerprint(path_);
  if (now == seen_) return false;
  seen_ = now;
  absl::StatusOr<InjectorConfig> config = Read(&digest_);
  state_ = config.status();
  if (!config.ok()) {
    reads_rejected_->Increment();
    logger_->Error("injector's configuration rejected, what it said before stays in force",
                   {{"path", path_}, {"error", config.status().message()}});
    return false;
  }
  reads_ok_->Increment();
  config_ = std::make_shared<const InjectorConfig>(*std::move(config));
  logger_->Info("injector's configuration read", {{"path", path_}, {"image", config_->image}});
  return true;
}

}  // namespace byrnie
