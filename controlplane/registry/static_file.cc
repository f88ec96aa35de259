#include "controlplane/registry/static_file.h"

#include <malloc.h>

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_macros.h"
#include "controlplane/registry/resource_list.h"
#include "controlplane/registry/snapshot.h"
#include "controlplane/registry/static_parser.h"

namespace byrnie {
namespace {

constexpr char kReloads[] = "byrnie_controlplane_registry_reloads_total";
constexpr char kReloadsHelp[] = "Times the registry file was read, by result.";
// From this size on what reading a file took is given back to the system at once.
constexpr size_t kLargeFile = 1024 * 1024;

// Makes resources of entries as they are read.
class Lister final : public RegistryReader {
 public:
  absl::Status OnWorkload(istio::workload::Workload workload) override {
    return list.Add(workload);
  }
  absl::Status OnService(istio::workload::Service service) override { return list.Add(service); }
  absl::Status OnPolicy(istio::security::Authorization policy) override { return list.Add(policy); }
  void OnMeantEmpty() override { meant_empty = true; }
  ResourceList list{RegistrySource::kFile};
  bool meant_empty = false;
};

absl::Status AllGone() {
  return absl::InvalidArgumentError(
      "it has no entries, and there were some before: without policies everybody would be let in; "
      "put them back or, where none are meant to be, write {\"empty\": true}");
}

}  // namespace

StaticFile::StaticFile(std::string path, std::string trust_domain, RegistrySources* sources,
                       EventLog* events, Logger* logger, MetricRegistry* metrics)
    : path_(std::move(path)),
      trust_domain_(std::move(trust_domain)),
      sources_(sources),
      events_(events),
      logger_(logger),
      reloads_ok_(metrics->AddCounter(kReloads, kReloadsHelp, {{"result", "ok"}})),
      reloads_rejected_(metrics->AddCounter(kReloads, kReloadsHelp, {{"result", "rejected"}})) {}

absl::StatusOr<std::unique_ptr<StaticFile>> StaticFile::Create(const std::string& path,
                                                               const std::string& trust_domain,
                                                               RegistrySources* sources,
                                                               EventLog* events, Logger* logger,
                                                               MetricRegistry* metrics) {
  auto file =
      absl::WrapUnique(new StaticFile(path, trust_domain, sources, events, logger, metrics));
  file->seen_ = TakeFileFingerprint(path);
  RETURN_IF_ERROR(file->Load());
  file->reloads_ok_->Increment();
  return file;
}

bool StaticFile::Poll() {
  absl::optional<FileFingerprint> now = TakeFileFingerprint(path_);
  if (now == seen_) return false;
  seen_ = now;
  const RegistrySnapshotPtr before = sources_->snapshot();
  state_ = Load();
  if (!state_.ok()) {
    reloads_rejected_->Increment();
    logger_->Error("registry file rejected, the last good one stays in force",
                   {{"path", path_}, {"error", state_.message()}});
    return false;
  }
  reloads_ok_->Increment();
  const RegistrySnapshotPtr after = sources_->snapshot();
  const RegistryDiff addresses = DiffSnapshots(ResourceType::kAddress, *before, *after);
  const RegistryDiff policies = DiffSnapshots(ResourceType::kAuthorization, *before, *after);
  const size_t added = addresses.added.size() + policies.added.size();
  const size_t changed = addresses.changed.size() + policies.changed.size();
  const size_t removed = addresses.removed.size() + policies.removed.size();
  logger_->Info("registry file read", {{"path", path_},
                                       {"added", static_cast<uint64_t>(added)},
                                       {"changed", static_cast<uint64_t>(changed)},
                                       {"removed", static_cast<uint64_t>(removed)}});
  Tell(addresses, policies);
  return true;
}

void StaticFile::Tell(const RegistryDiff& addresses, const RegistryDiff& policies) const {
  if (events_ == nullptr) return;
  if (!addresses.empty()) {
    events_->Add(
        EventKind::kRegistryChanged, "registry file",
        absl::StrCat(addresses.added.size(), " workloads and services added, ",
                     addresses.changed.size(), " changed, ", addresses.removed.size(), " removed"));
  }
  for (const auto& [names, what] :
       {std::make_pair(&policies.added, "added"), std::make_pair(&policies.changed, "changed"),
        std::make_pair(&policies.removed, "removed")}) {
    for (const std::string& name : *names) {
      events_->Add(EventKind::kPolicyChanged, name, absl::StrCat(what, " in the registry file"));
    }
  }
}

absl::Status StaticFile::Load() {
  absl::StatusOr<std::string> text = ReadFile(path_, kMaxRegistryFileSize);
  if (!text.ok()) {
    return absl::Status(text.status().code(),
                        absl::StrCat("registry file: ", text.status().message(),
                                     "; is --registry=static:FILE right?"));
  }
  const absl::Status set = Publish(*text);
  const bool large = text->size() >= kLargeFile;
  *text = std::string();
  // The C library would keep it: several times what the registry needs.
  if (large) ::malloc_trim(0);
  return InFile(set);
}

absl::Status StaticFile::InFile(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("registry file \"", path_, "\": ", status.message()));
}

absl::Status StaticFile::SetHadEntries() {
  if (meant_empty_) return absl::OkStatus();
  had_entries_ = true;
  return empty_by_chance_ ? InFile(AllGone()) : absl::OkStatus();
}

absl::Status StaticFile::Publish(absl::string_view text) {
  Lister lister;
  RETURN_IF_ERROR(ReadRegistryFile(text, trust_domain_, &lister));
  const bool has_entries = !lister.list.entries().empty();
  if (has_entries && lister.meant_empty) {
    return absl::InvalidArgumentError("\"empty\" is true and there are entries; leave one out");
  }
  const bool empty_by_chance = !has_entries && !lister.meant_empty;
  if (had_entries_ && empty_by_chance) return AllGone();
  RETURN_IF_ERROR(sources_->Set(std::move(lister.list)));
  had_entries_ = has_entries || (had_entries_ && !lister.meant_empty);
  meant_empty_ = lister.meant_empty;
  empty_by_chance_ = empty_by_chance;
  return absl::OkStatus();
}

}  // namespace byrnie
