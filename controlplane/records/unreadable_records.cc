#include "controlplane/records/unreadable_records.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

using Kind = UnreadableRecords::Kind;

constexpr std::pair<Kind, const char*> kKinds[] = {
    {Kind::kPolicy, "policy"},
    {Kind::kRegistry, "registry"},
    {Kind::kJwtKey, "jwt_key"},
    {Kind::kRevocation, "revocation"},
    {Kind::kRevocationList, "revocation_list"},
    {Kind::kTrust, "trust"},
    {Kind::kControlPlane, "control_plane"},
    {Kind::kIssuance, "issuance"},
};

bool Has(const std::vector<UnreadableRecord>& records, const std::string& key) {
  return std::any_of(records.begin(), records.end(),
                     [&key](const UnreadableRecord& record) { return record.key == key; });
}

}  // namespace

UnreadableRecords::UnreadableRecords(std::string place, Logger* logger, MetricRegistry* metrics)
    : place_(std::move(place)), logger_(logger) {
  for (const auto& [kind, name] : kKinds) {
    gauges_[kind] = metrics->AddGauge(
        "byrnie_controlplane_unreadable_records",
        "Records of the store that cannot be read, by kind; the last good state of each stays in "
        "force, see byrniectl check.",
        {{"kind", name}});
  }
}

void UnreadableRecords::Set(Kind kind, std::vector<UnreadableRecord> records) {
  absl::MutexLock lock(&mu_);
  std::vector<UnreadableRecord>& known = records_[kind];
  if (known == records) return;
  for (const UnreadableRecord& record : records) {
    if (std::find(known.begin(), known.end(), record) != known.end()) continue;
    logger_->Error("a record of the store cannot be read", {{"record", record.key},
                                                            {"error", record.why},
                                                            {"effect", record.effect},
                                                            {"remedy", record.remedy}});
  }
  for (const UnreadableRecord& record : known) {
    if (Has(records, record.key)) continue;
    logger_->Info("a record of the store is no longer unreadable", {{"record", record.key}});
  }
  gauges_[kind]->Set(static_cast<int64_t>(records.size()));
  known = std::move(records);
}

std::vector<UnreadableRecord> UnreadableRecords::List() const {
  absl::MutexLock lock(&mu_);
  std::vector<UnreadableRecord> all;
  for (const auto& entry : records_)
    all.insert(all.end(), entry.second.begin(), entry.second.end());
  return all;
}

std::string UnreadableRecords::DeleteByHand(const std::string& key) const {
  return absl::StrCat("start the release that wrote it, restore it from a backup, or delete ",
                      place_, key, " in the store");
}

}  // namespace byrnie
