#include "controlplane/trust/setting_digests.h"

#include "absl/strings/numbers.h"
#include "common/crypto/sha256_fingerprint.h"

namespace byrnie {

uint64_t DigestOfSetting(absl::string_view value) {
  uint64_t digest = 0;
  (void)absl::SimpleHexAtoi(Sha256FingerprintHex(value).substr(0, 16), &digest);
  return digest;
}

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
