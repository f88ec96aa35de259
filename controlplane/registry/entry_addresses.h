#ifndef BYRNIE_CONTROLPLANE_REGISTRY_ENTRY_ADDRESSES_H_
#define BYRNIE_CONTROLPLANE_REGISTRY_ENTRY_ADDRESSES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "controlplane/registry/resource.h"
#include "controlplane/store/store.h"

namespace byrnie {

// Whose addresses an entry of the store has is kept beside its record, so that where that cannot be
// read the addresses are still not taken for ones outside the mesh.

// Where the addresses are, by the key of the record: "registry/workloads/w" gives
// "registry_addresses/workloads/w".
inline constexpr char kEntryAddressesPrefix[] = "registry_addresses/";
std::string EntryAddressesKey(absl::string_view entry_key);

std::string WriteEntryAddresses(absl::string_view entry_key, const Resource& resource);
// "network/ip" of each; absent when the value is damaged or another entry's.
absl::optional<std::vector<std::string>> ReadEntryAddresses(absl::string_view entry_key,
                                                            const std::string& value);

// What stands in for an entry that cannot be read (Resource::stand_in), under its name and at its
// addresses. A workload whose identity nobody can prove and whom a policy that is not there keeps
// from being connected to, or a service without ports: nobody talks to it, in plaintext least of
// all. Null: its name is none that an entry has.
//
// `addresses` absent: nothing tells where it is (RegistrySnapshot::HasUnplaced).
ResourcePtr StandInForEntry(ResourceKind kind, absl::string_view name,
                            const absl::optional<std::vector<std::string>>& addresses);

// What holds in the place of an entry that cannot be read, a workload or service: `stays`, which
// may be a stand-in, or nothing, for people.
std::string DescribeStandIn(absl::string_view entry, const Resource* stays);

// Makes the addresses that are stored beside the entries what they are to be, where a release that
// does not know of them has written or deleted some. `wanted` has a value for every entry's key;
// absent: it cannot be read, and what is beside it stays. Looks at them only where their number is
// another one. What cannot be done, or no longer under `condition`, is left for the next time.
void SyncEntryAddresses(Store* store, const StoreCondition& condition,
                        const std::map<std::string, absl::optional<std::string>>& wanted);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_REGISTRY_ENTRY_ADDRESSES_H_
