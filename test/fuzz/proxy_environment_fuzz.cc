// HTTPS_PROXY and NO_PROXY, as byrniectl reads them: a proxy whose name ends no line of a request,
// or none, or an error; exceptions, whatever they are, are none.

#include <cstdlib>
#include <string>
#include <vector>

#include "controlplane/kubernetes/http_proxy.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckProxy(const HttpProxy& proxy) {
  Check(!proxy.host.empty() && proxy.port != 0);
  for (const char c : proxy.host) Check(c > 0x20 && c < 0x7f);
  std::string host;
  uint16_t port = 0;
  Check(ParseHostAndPort(proxy.Authority(), &host, &port).ok());
  Check(host == proxy.host && port == proxy.port);
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {"http://u:p%40@[fd00::1]:3128/", "proxy:3128", "https://u@proxy", "10.0.0.0/8,.a,*.b,c:1",
          "fd00::/8,*,[fd00::1]:1",        "a.b:443, b"};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto as_proxy = [&text](absl::string_view name) -> std::string {
    return name == "HTTPS_PROXY" ? text : "";
  };
  for (const char* host : {"a.b", "10.0.0.1", "fd00::1"}) {
    const auto found = byrnie::ProxyOfEnvironment(as_proxy, host, 443);
    if (found.ok() && found->has_value()) byrnie::CheckProxy(**found);
    const auto excepted = byrnie::ProxyOfEnvironment(
        [&text](absl::string_view name) -> std::string {
          return name == "NO_PROXY" ? text : name == "HTTPS_PROXY" ? "http://p" : "";
        },
        host, 443);
    byrnie::Check(excepted.ok());
  }
  return 0;
}
