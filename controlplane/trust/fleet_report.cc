#include "controlplane/trust/fleet_report.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "byrnie/store/v1/fleet.pb.h"
#include "common/base/status_macros.h"
#include "controlplane/proto/time_conversion.h"
#include "controlplane/records/record_value.h"

namespace byrnie {
namespace {

constexpr char kPrefix[] = "controlplanes/";

std::string KeyOf(const std::string& name, const std::string& instance) {
  return absl::StrCat(kPrefix, name, "/", instance);
}

absl::StatusOr<FleetReport> Decode(const StoreEntry& entry) {
  byrnie::store::v1::FleetReport in;
  absl::string_view key = entry.key;
  absl::ConsumePrefix(&key, kPrefix);
  const std::vector<std::string> parts = absl::StrSplit(key, absl::MaxSplits('/', 1));
  const bool parsed = in.ParseFromString(entry.value);
  const absl::optional<absl::Time> written = RecordTime(in.has_written_at(), in.written_at());
  if (!parsed || parts.size() != 2 || !written.has_value()) return DamagedRecord(entry.key);
  FleetReport report;
  report.name = parts[0];
  report.instance = parts[1];
  report.written_at = *written;
  report.revision = entry.revision;
  ASSIGN_OR_RETURN(report.issues_without_store, FromProto(in.issues_without_store()));
  report.trust_revision = in.trust_revision();
  for (const byrnie::store::v1::WaitingAgent& agent : in.waiting()) {
    report.waiting.push_back(
        {agent.agent(), agent.address(), absl::BytesToHexString(agent.root()),
         RecordTime(agent.has_not_after(), agent.not_after()).value_or(absl::InfiniteFuture())});
  }
  report.waiting_more = in.waiting_more();
  report.acknowledged.assign(in.acknowledged().begin(), in.acknowledged().end());
  report.late_issuances = in.late_issuances();
  for (const std::string& root : in.roots()) {
    report.trust.roots.push_back(absl::BytesToHexString(root));
  }
  std::sort(report.trust.roots.begin(), report.trust.roots.end());
  report.trust.signing_root = absl::BytesToHexString(in.signing_root());
  report.trust.issuer = absl::BytesToHexString(in.issuer());
  report.trust.plugged = in.plugged();
  for (const auto& [flag, digest] : in.settings()) {
    if (report.settings.size() < kMaxSettings) report.settings[flag] = digest;
  }
  report.without_file = in.without_file();
  return report;
}

}  // namespace

bool FleetReport::SaysTheSame(const FleetReport& other) const {
  return trust_revision == other.trust_revision && waiting == other.waiting &&
         waiting_more == other.waiting_more && acknowledged == other.acknowledged &&
         late_issuances == other.late_issuances &&
         issues_without_store == other.issues_without_store && trust == other.trust &&
         settings == other.settings && without_file == other.without_file;
}

// Serials have 15 random bytes and more: among those of a fleet none has the prefix of another.
uint64_t SerialPrefix(const std::string& serial) {
  uint64_t prefix = 0;
  return absl::SimpleHexAtoi(serial.substr(0, 16), &prefix) ? prefix : 0;
}

absl::Status StoredFleetReports::Write(const FleetReport& report) {
  byrnie::store::v1::FleetReport out;
  ToProto(report.written_at, out.mutable_written_at());
  ToProto(report.issues_without_store, out.mutable_issues_without_store());
  out.set_trust_revision(report.trust_revision);
  for (const FleetReport::WaitingAgent& agent : report.waiting) {
    byrnie::store::v1::WaitingAgent* const added = out.add_waiting();
    added->set_agent(agent.agent);
    added->set_address(agent.address);
    added->set_root(absl::HexStringToBytes(agent.root));
    ToProto(agent.not_after, added->mutable_not_after());
  }
  out.set_waiting_more(report.waiting_more);
  out.mutable_acknowledged()->Add(report.acknowledged.begin(), report.acknowledged.end());
  out.set_late_issuances(report.late_issuances);
  for (const std::string& root : report.trust.roots) {
    out.add_roots(absl::HexStringToBytes(root));
  }
  out.set_signing_root(absl::HexStringToBytes(report.trust.signing_root));
  out.set_issuer(absl::HexStringToBytes(report.trust.issuer));
  out.set_plugged(report.trust.plugged);
  for (const auto& [flag, digest] : report.settings) (*out.mutable_settings())[flag] = digest;
  out.set_without_file(report.without_file);
  StoreTransaction transaction;
  transaction.Put(KeyOf(report.name, report.instance), out.SerializeAsString());
  return store_->Commit(transaction).status();
}

absl::Status StoredFleetReports::Remove(const std::string& name, const std::string& instance) {
  StoreTransaction transaction;
  transaction.Delete(KeyOf(name, instance));
  return store_->Commit(transaction).status();
}

absl::StatusOr<std::vector<FleetReport>> StoredFleetReports::List(
    std::vector<UnreadableReport>* unreadable) {
  ASSIGN_OR_RETURN(std::vector<StoreEntry> entries, ListAll(store_, kPrefix));
  std::vector<FleetReport> reports;
  for (const StoreEntry& entry : entries) {
    absl::StatusOr<FleetReport> report = Decode(entry);
    if (report.ok()) {
      reports.push_back(*std::move(report));
      continue;
    }
    const std::vector<std::string> parts =
        absl::StrSplit(absl::StripPrefix(entry.key, kPrefix), absl::MaxSplits('/', 1));
    unreadable->push_back({entry.key, parts[0], parts.size() == 2 ? parts[1] : ""});
  }
  return reports;
}

}  // namespace byrnie
