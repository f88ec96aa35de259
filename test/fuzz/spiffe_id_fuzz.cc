// SpiffeId::Parse: whatever it accepts reads back as the same text and obeys the standard's limits.

#include <cstdlib>

#include "common/identity/spiffe_id.h"
#include "test/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<byrnie::SpiffeId> id = byrnie::SpiffeId::Parse(text);
  if (!id.ok()) return 0;
  if (id->text() != text || id->path().size() < 2 || id->trust_domain().empty()) std::abort();
  const std::string ns(id->k8s_namespace()), account(id->k8s_service_account());
  if (ns.empty() && account.empty()) {
    // Not of Kubernetes, whose two names are both there or neither.
  } else if (id->path() != "/ns/" + ns + "/sa/" + account || ns.empty() || account.empty()) {
    std::abort();
  }
  if (size > byrnie::SpiffeId::kMaxLength || text.find('\0') != text.npos) std::abort();
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  return {"spiffe://cluster.local/ns/default/sa/app",
          "spiffe://a/b",
          "spiffe://EXAMPLE.org/a",
          "spiffe://td/a/../b",
          "spiffe://td/a//b/",
          "spiffe://td/a/",
          "spiffe://td/./a",
          "spiffe://td",
          "spiffe:///a",
          "http://td/a",
          "spiffe://td/ns/a",
          "spiffe://td/ns/a/sb/b",
          "spiffe://td/ns/a/sa/b/c",
          "spiffe://" + std::string(SpiffeId::kMaxTrustDomainLength + 1, 't') + "/a",
          "spiffe://td/" + std::string(SpiffeId::kMaxLength, 'p'),
          "spiffe://td:8443/a?q#f",
          "spiffe://user@td/%61",
          "spiffe://td/" + std::string(SpiffeId::kMaxLength - 12, 'p'),
          std::string("spiffe://td/ns/a/sa/b\0evil", 26)};
}

}  // namespace byrnie
