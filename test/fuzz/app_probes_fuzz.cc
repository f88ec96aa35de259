// What an injector hands to the proxy, and what the application answers to a probe with: whatever
// it says, a probe asks for one target on the pod's own host, and its request is one request.

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "common/net/socket_address.h"
#include "common/probe/app_probes.h"
#include "common/probe/probe_url.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckTarget(const std::string& target) {
  Check(absl::StartsWith(target, "/"));
  Check(std::all_of(target.begin(), target.end(),
                    [](char c) { return absl::ascii_isgraph(c) && c != '#'; }));
  // What is encoded is not encoded again.
  Check(ProbeTarget(target) == target);
}

void CheckRedirect(absl::string_view text, const char* host) {
  const IpAddress address = *IpAddress::Parse(host);
  const ProbeUrl from = {false, 8080, "/a/b?c"};
  const absl::StatusOr<absl::optional<ProbeUrl>> to = FollowRedirect(from, address, text);
  if (!to.ok() || !to->has_value()) return;
  Check((*to)->port != 0);
  CheckTarget((*to)->target);
}

}  // namespace
}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using byrnie::Check;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  byrnie::CheckTarget(byrnie::ProbeTarget(text));
  byrnie::CheckRedirect(text, "10.0.0.7");
  byrnie::CheckRedirect(text, "fd00::7");
  const absl::StatusOr<std::vector<byrnie::AppProbe>> probes = byrnie::ParseAppProbes(text);
  if (!probes.ok()) return 0;
  for (const byrnie::AppProbe& probe : *probes) {
    Check(probe.url.port != 0 && probe.timeout >= absl::Seconds(1));
    byrnie::CheckTarget(probe.url.target);
    byrnie::CheckTarget(probe.Path());
    for (const auto& [name, value] : probe.headers) {
      Check(name.find_first_of("\r\n: ") == std::string::npos);
      Check(value.find_first_of(std::string("\r\n\0", 3)) == std::string::npos);
    }
  }
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  return {
      R"({"app":{"readiness":{"httpGet":{"port":8080,"path":"/z?a#b","scheme":"HTTPS",)"
      R"("httpHeaders":[{"name":"Host","value":"a"}]},"timeoutSeconds":2}}})",
      R"({"a-1":{"startup":{"tcpSocket":{"port":1}},"liveness":{"httpGet":{"port":65535}}}})",
      "http://10.0.0.7:9090/x/../y?z#f",
      "https://user@[fd00::7]/a%2fb%zz",
      "../../x/./..?q",
      "//10.0.0.7:0/",
      "mailto:me",
      "/a b\r\nX: y",
  };
}

}  // namespace byrnie
