#include "controlplane/trust/setting_digests.h"

#include "common/crypto/sha256_fingerprint.h"

namespace byrnie {

uint64_t DigestOfSetting(absl::string_view value) { return Sha256Prefix(value); }

std::vector<std::string> DifferentSettings(const SettingDigests& here,
                                           const SettingDigests& there) {
  std::vector<std::string> different;
  for (const auto& [flag, digest] : here) {
    const auto other = there.find(flag);
    if (other != there.end() && other->second != digest) different.push_back(flag);
  }
  return different;
}

}  // namespace byrnie
