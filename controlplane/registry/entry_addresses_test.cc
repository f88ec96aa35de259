#include "controlplane/registry/entry_addresses.h"

#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Addresses = std::vector<std::string>;

constexpr char kKey[] = "registry/workloads/w";

istio::workload::Workload Placed() {
  istio::workload::Workload workload;
  workload.set_uid("w");
  workload.set_network("n1");
  workload.add_addresses(std::string("\x0a\0\0\x01", 4));
  workload.add_addresses(std::string(15, '\x20') + "\x01");
  return workload;
}

TEST(EntryAddressesTest, AreReadAsTheyAreWritten) {
  const ResourcePtr workload = MakeResource(RegistrySource::kApiEntries, Placed());
  const std::string value = WriteEntryAddresses(kKey, *workload);
  EXPECT_EQ(EntryAddressesKey(kKey), "registry_addresses/workloads/w");
  EXPECT_EQ(ReadEntryAddresses(kKey, value), workload->aliases);
  // Damaged, or another's.
  EXPECT_FALSE(ReadEntryAddresses("registry/workloads/v", value).has_value());
  EXPECT_FALSE(ReadEntryAddresses(kKey, "").has_value());
  EXPECT_FALSE(ReadEntryAddresses(kKey, "\xff").has_value());
  EXPECT_FALSE(ReadEntryAddresses(kKey, value.substr(0, value.size() - 1)).has_value());
}

TEST(EntryAddressesTest, AStandInIsWhereTheEntryIsAndProvesNoIdentity) {
  const ResourcePtr workload = MakeResource(RegistrySource::kApiEntries, Placed());
  const ResourcePtr stand_in = StandInForEntry(ResourceKind::kWorkload, "w", workload->aliases);
  ASSERT_NE(stand_in, nullptr);
  EXPECT_EQ(stand_in->name, "w");
  EXPECT_EQ(stand_in->aliases, workload->aliases);
  EXPECT_TRUE(stand_in->stand_in);
  EXPECT_TRUE(IsStandInVersion(stand_in->version));
  const istio::workload::Workload message = WorkloadOf(*stand_in);
  EXPECT_EQ(message.tunnel_protocol(), istio::workload::HBONE);
  EXPECT_THAT(message.trust_domain(), HasSubstr(".invalid"));
  // One that there is not: nobody connects to it.
  EXPECT_EQ(message.authorization_policies_size(), 1);
  // Of one that is nobody knows where.
  ASSERT_NE(StandInForEntry(ResourceKind::kWorkload, "w", absl::nullopt), nullptr);
}

TEST(EntryAddressesTest, AServiceStandsInWithoutPorts) {
  const ResourcePtr stand_in =
      StandInForEntry(ResourceKind::kService, "n/s.n.svc", Addresses{"/10.1.0.1"});
  ASSERT_NE(stand_in, nullptr);
  EXPECT_EQ(stand_in->name, "n/s.n.svc");
  EXPECT_THAT(stand_in->aliases, ElementsAre("/10.1.0.1"));
  EXPECT_EQ(ServiceOf(*stand_in).ports_size(), 0);
  // No service has such a key.
  EXPECT_EQ(StandInForEntry(ResourceKind::kService, "s", Addresses{}), nullptr);
}

TEST(EntryAddressesTest, WhatIsStoredFollowsTheEntries) {
  MemoryStore store;
  StoreTransaction before;
  before.Put("g", "1").Put("registry_addresses/workloads/gone", "x");
  before.Put("registry_addresses/workloads/odd", "x");
  const int64_t generation = *store.Commit(before);
  SyncEntryAddresses(&store, {"g", generation - 1}, {{kKey, "new"}});
  EXPECT_FALSE(store.Get("registry_addresses/workloads/w")->has_value());
  SyncEntryAddresses(
      &store, {"g", generation},
      {{kKey, "new"}, {"registry/workloads/odd", absl::nullopt}, {"registry/services/n/s", "too"}});
  EXPECT_EQ((*store.Get("registry_addresses/workloads/w"))->value, "new");
  EXPECT_EQ((*store.Get("registry_addresses/workloads/odd"))->value, "x");
  EXPECT_EQ(*store.Count("registry_addresses/"), 3);
}

}  // namespace
}  // namespace byrnie
