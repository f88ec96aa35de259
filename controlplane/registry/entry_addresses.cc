#include "controlplane/registry/entry_addresses.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "byrnie/store/v1/registry_entry.pb.h"
#include "common/net/socket_address.h"
#include "controlplane/registry/content_checker.h"

namespace byrnie {
namespace {

// No trust domain is called so (RFC 2606), so that no certificate proves it, and no policy is.
constexpr char kNobodys[] = "unreadable-record";
constexpr char kNobodysDomain[] = "unreadable-record.invalid";

struct Place {
  std::string network;
  std::string address;  // 4 or 16 bytes.
};

absl::optional<Place> ParseAlias(absl::string_view alias) {
  const size_t slash = alias.rfind('/');
  if (slash == absl::string_view::npos) return absl::nullopt;
  const absl::StatusOr<IpAddress> ip = IpAddress::Parse(alias.substr(slash + 1));
  if (!ip.ok()) return absl::nullopt;
  return Place{std::string(alias.substr(0, slash)), ip->ToBytes()};
}

istio::workload::Workload MakeWorkload(absl::string_view uid, const std::vector<Place>& places) {
  istio::workload::Workload workload;
  workload.set_uid(std::string(uid));
  workload.set_name(kNobodys);
  workload.set_namespace_(kNobodys);
  workload.set_service_account(kNobodys);
  workload.set_trust_domain(kNobodysDomain);
  workload.set_tunnel_protocol(istio::workload::HBONE);
  workload.add_authorization_policies(absl::StrCat(kNobodys, "/", kNobodys));
  // An entry has one network.
  if (!places.empty()) workload.set_network(places.front().network);
  for (const Place& place : places) workload.add_addresses(place.address);
  return workload;
}

absl::optional<istio::workload::Service> MakeService(absl::string_view key,
                                                     const std::vector<Place>& places) {
  const size_t slash = key.find('/');
  if (slash == absl::string_view::npos) return absl::nullopt;
  istio::workload::Service service;
  service.set_namespace_(std::string(key.substr(0, slash)));
  service.set_hostname(std::string(key.substr(slash + 1)));
  service.set_name(service.hostname());
  for (const Place& place : places) {
    auto* const address = service.add_addresses();
    address->set_network(place.network);
    address->set_address(place.address);
  }
  return service;
}

}  // namespace

std::string EntryAddressesKey(absl::string_view entry_key) {
  return absl::StrCat(kEntryAddressesPrefix, entry_key.substr(entry_key.find('/') + 1));
}

std::string WriteEntryAddresses(absl::string_view entry_key, const Resource& resource) {
  byrnie::store::v1::EntryAddresses record;
  record.set_key(std::string(entry_key));
  for (const std::string& alias : resource.aliases) record.add_addresses(alias);
  return record.SerializeAsString();
}

absl::optional<std::vector<std::string>> ReadEntryAddresses(absl::string_view entry_key,
                                                            const std::string& value) {
  byrnie::store::v1::EntryAddresses record;
  if (!record.ParseFromString(value) || record.key() != entry_key) return absl::nullopt;
  for (const std::string& alias : record.addresses()) {
    if (!ParseAlias(alias).has_value()) return absl::nullopt;
  }
  return std::vector<std::string>(record.addresses().begin(), record.addresses().end());
}

ResourcePtr StandInForEntry(ResourceKind kind, absl::string_view name,
                            const absl::optional<std::vector<std::string>>& addresses) {
  std::vector<Place> places;
  for (const std::string& alias : addresses.value_or(std::vector<std::string>())) {
    const absl::optional<Place> place = ParseAlias(alias);
    if (place.has_value()) places.push_back(*place);
  }
  std::shared_ptr<Resource> stand_in;
  if (kind == ResourceKind::kService) {
    const absl::optional<istio::workload::Service> service = MakeService(name, places);
    if (!service.has_value() || !CheckEntry(*service).ok()) return nullptr;
    stand_in = std::make_shared<Resource>(*MakeResource(RegistrySource::kApiEntries, *service));
  } else {
    if (name.empty()) return nullptr;
    stand_in = std::make_shared<Resource>(
        *MakeResource(RegistrySource::kApiEntries, MakeWorkload(name, places)));
  }
  stand_in->stand_in = true;
  stand_in->version.insert(0, kStandInVersionPrefix);
  return stand_in;
}

std::string DescribeStandIn(absl::string_view entry, const Resource* stays) {
  if (stays == nullptr) return absl::StrCat("there is no such ", entry, ", and it had no address");
  if (!stays->stand_in) return absl::StrCat("the ", entry, " stays in force as it was before");
  if (stays->aliases.empty()) {
    return absl::StrCat("the addresses of this ", entry,
                        " are not known: agents are told of no address that it is outside the "
                        "mesh, so that connections to those that they have not asked for before "
                        "are refused");
  }
  const std::string addresses =
      absl::StrJoin(stays->aliases, ", ", [](std::string* out, absl::string_view alias) {
        absl::StrAppend(out, alias.substr(alias.rfind('/') + 1));
      });
  return absl::StrCat("connections to its addresses (", addresses,
                      ") are refused, but for agents that have the ", entry, " from before");
}

void SyncEntryAddresses(Store* store, const StoreCondition& condition,
                        const std::map<std::string, absl::optional<std::string>>& wanted) {
  const absl::StatusOr<int64_t> count = store->Count(kEntryAddressesPrefix);
  if (!count.ok() || *count == static_cast<int64_t>(wanted.size())) return;
  const absl::StatusOr<std::vector<StoreEntry>> there = ListAll(store, kEntryAddressesPrefix);
  if (!there.ok()) return;
  std::map<std::string, std::string> missing;
  std::set<std::string> keys;
  for (const auto& [entry, value] : wanted) {
    std::string key = EntryAddressesKey(entry);
    if (value.has_value()) missing[key] = *value;
    keys.insert(std::move(key));
  }
  std::vector<StoreWrite> writes;
  for (const StoreEntry& entry : *there) {
    const auto found = missing.find(entry.key);
    if (found != missing.end() && found->second == entry.value) missing.erase(found);
    if (keys.count(entry.key) == 0) writes.push_back({entry.key, absl::nullopt});
  }
  for (auto& [key, value] : missing) writes.push_back({key, std::move(value)});
  for (size_t i = 0; i < writes.size();) {
    StoreTransaction transaction;
    transaction.Require(condition);
    const size_t end = std::min(writes.size(), i + StoreTransaction::kMaxOperations);
    for (; i < end; ++i) {
      StoreWrite& write = writes[i];
      write.value.has_value() ? transaction.Put(write.key, *std::move(write.value))
                              : transaction.Delete(write.key);
    }
    if (!store->Commit(transaction).ok()) return;
  }
}

}  // namespace byrnie
