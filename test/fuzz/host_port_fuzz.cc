// What a client is told to connect to: flags of the agent, and the injector's configuration, of
// which each pod is told.

#include <string>

#include "common/base/check.h"
#include "common/net/host_port.h"
#include "test/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (!byrnie::CheckHostPort(text).ok()) return 0;
  // Nothing that a list of them, or a shell, would see something in.
  CHECK(text.find_first_of(std::string(" \t\n/\0", 5)) == std::string::npos);
  CHECK(!byrnie::CheckHostPort(text + ":").ok());
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  return {"byrnie-controlplane.byrnie-system.svc:15012", "10.0.0.1:1", "[fd00::1]:65535",
          "[fe80::1%eth0]:15012", "a_b.:80"};
}

}  // namespace byrnie
