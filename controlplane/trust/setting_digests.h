#ifndef BYRNIE_CONTROLPLANE_TRUST_SETTING_DIGESTS_H_
#define BYRNIE_CONTROLPLANE_TRUST_SETTING_DIGESTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace byrnie {

// What has to be the same for all control planes of a store, as they compare it: by the name of the
// flag that gives it, a hash of what it says. Empty: it is not known.
using SettingDigests = std::map<std::string, uint64_t>;

// More are not looked at.
inline constexpr size_t kMaxSettings = 64;

uint64_t DigestOfSetting(absl::string_view value);

// The flags that differ, sorted. Those that only one of the two tells of are another release's.
std::vector<std::string> DifferentSettings(const SettingDigests& here, const SettingDigests& there);

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_TRUST_SETTING_DIGESTS_H_
