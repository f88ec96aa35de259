#include "controlplane/registry/static_file.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "controlplane/registry/snapshot.h"
#include "controlplane/registry/static_parser.h"

namespace byrnie {
namespace {

constexpr char kReloads[] = "byrnie_controlplane_registry_reloads_total";
constexpr char kReloadsHelp[] = "Times the registry file was read, by result.";

}  // namespace

StaticFile::StaticFile(std::string path, std::string trust_domain, Registry* registry,
                       Logger* logger, MetricRegistry* metrics)
    : path_(std::move(path)),
      trust_domain_(std::move(trust_domain)),
      registry_(registry),
      logger_(logger),
      reloads_ok_(metrics->AddCounter(kReloads, kReloadsHelp, {{"result", "ok"}})),
      reloads_rejected_(metrics->AddCounter(kReloads, kReloadsHelp, {{"result", "rejected"}})) {}

absl::StatusOr<std::unique_ptr<StaticFile>> StaticFile::Create(const std::string& path,
                                                               const std::string& trust_domain,
                                                               Registry* registry, Logger* logger,
                                                               MetricRegistry* metrics) {
  auto file = absl::WrapUnique(new StaticFile(path, trust_domain, registry, logger, metrics));
  file->seen_ = TakeFileFingerprint(path);
  RETURN_IF_ERROR(file->Load());
  file->reloads_ok_->Increment();
  return file;
}

bool StaticFile::Poll() {
  absl::optional<FileFingerprint> now = TakeFileFingerprint(path_);
  if (now == seen_) return false;
  seen_ = now;
  const RegistrySnapshotPtr before = registry_->snapshot();
  const absl::Status status = Load();
  if (!status.ok()) {
    reloads_rejected_->Increment();
    logger_->Error("registry file rejected, the last good one stays in force",
                   {{"path", path_}, {"error", status.message()}});
    return false;
  }
  reloads_ok_->Increment();
  const RegistrySnapshotPtr after = registry_->snapshot();
  RegistryDiff total;
  for (ResourceType type : kResourceTypes) {
    RegistryDiff diff = DiffSnapshots(type, *before, *after);
    total.added.insert(total.added.end(), diff.added.begin(), diff.added.end());
    total.changed.insert(total.changed.end(), diff.changed.begin(), diff.changed.end());
    total.removed.insert(total.removed.end(), diff.removed.begin(), diff.removed.end());
  }
  logger_->Info("registry file read", {{"path", path_},
                                       {"added", static_cast<uint64_t>(total.added.size())},
                                       {"changed", static_cast<uint64_t>(total.changed.size())},
                                       {"removed", static_cast<uint64_t>(total.removed.size())}});
  return true;
}

absl::Status StaticFile::Load() {
  absl::StatusOr<std::string> text = ReadFile(path_, kMaxRegistryFileSize);
  if (!text.ok()) {
    return absl::Status(text.status().code(),
                        absl::StrCat("registry file: ", text.status().message(),
                                     "; is --registry=static:FILE right?"));
  }
  absl::StatusOr<RegistryContent> content = ParseRegistryFile(*text, trust_domain_);
  absl::StatusOr<RegistrySnapshotPtr> snapshot =
      content.ok() ? RegistrySnapshot::Create(*content)
                   : absl::StatusOr<RegistrySnapshotPtr>(content.status());
  if (!snapshot.ok()) {
    return absl::Status(
        snapshot.status().code(),
        absl::StrCat("registry file \"", path_, "\": ", snapshot.status().message()));
  }
  registry_->Publish(*std::move(snapshot));
  return absl::OkStatus();
}

}  // namespace byrnie
