// DecodeIssuance, of an entry of the log of issuances whose bytes may be damaged: what is not whole
// is what its key says, and nothing else of it is believed but a serial number.

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "byrnie/store/v1/issuance.pb.h"
#include "common/crypto/sha256_fingerprint.h"
#include "controlplane/audit/issuance_codec.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

IssuanceRecord Record() {
  IssuanceRecord record;
  record.issued_at = absl::FromUnixSeconds(1'800'000'000);
  record.serial = "0a1b2c3d4e5f";
  record.identity = "spiffe://cluster.local/a";
  record.proof = "svid";
  record.root = std::string(64, 'a');
  record.not_after = record.issued_at + absl::Hours(1);
  record.replaces = "0a1b2c3d4e5e";
  record.audience = {"billing"};
  return record;
}

// As a release that knows of checksums ends it.
std::string WithChecksum(const std::string& value) {
  store::v1::Issuance field;
  field.set_checksum(Sha256Prefix(value));
  return value + field.SerializeAsString();
}

// As one that does not writes it.
std::string Plain(const IssuanceRecord& record) {
  store::v1::Issuance entry;
  if (!entry.ParseFromString(EncodeIssuance(record))) std::abort();
  entry.clear_checksum();
  return entry.SerializeAsString();
}

// True: it is whole.
bool Judge(const std::string& key, const std::string& value) {
  const IssuanceRecord read = DecodeIssuance(key, value);
  if (read.proof != kUnreadableProof) return true;
  const bool hex = std::all_of(read.replaces.begin(), read.replaces.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  if (!hex || !read.identity.empty() || !read.audience.empty()) std::abort();
  return false;
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  IssuanceRecord odd = Record();
  odd.replaces = "no serial";
  return {EncodeIssuance(Record()), Plain(Record()), EncodeIssuance(odd), "", "\xff"};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using byrnie::Judge;
  const std::string value(reinterpret_cast<const char*>(data), size);
  const byrnie::IssuanceRecord record = byrnie::Record();
  const std::string key = byrnie::IssuanceKey(record);
  // Whole is what has its checksum, and what has none and is as it is written.
  if (Judge(key, value)) {
    const byrnie::IssuanceRecord read = byrnie::DecodeIssuance(key, value);
    const bool plain = value == byrnie::Plain(read);
    const bool ends_well = size > 9 && value == byrnie::WithChecksum(value.substr(0, size - 9));
    if (!plain && !ends_well) std::abort();
  }
  (void)Judge(key, byrnie::WithChecksum(value));
  (void)Judge(value, value);
  return 0;
}
