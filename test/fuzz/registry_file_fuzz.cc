// The registry file of the control plane, from text to a checked snapshot.

#include "controlplane/registry/snapshot.h"
#include "controlplane/registry/static_parser.h"
#include "test/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto content = byrnie::ParseRegistryFile(
      absl::string_view(reinterpret_cast<const char*>(data), size), "cluster.local");
  if (content.ok()) (void)byrnie::RegistrySnapshot::Create(*content);
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  return {
      R"({"workloads": [{"name": "a", "namespace": "n", "service_account": "s", "addresses": ["10.0.0.1", "fd00::1"],
          "services": {"n/h": [{"service_port": 80, "target_port": 8080}]}, "authorization_policies": ["n/p"]}],
          "services": [{"name": "h", "namespace": "n", "hostname": "h", "addresses": ["10.1.0.1"],
          "ports": [{"service_port": 80, "target_port": 8080}]}],
          "policies": [{"name": "p", "namespace": "n", "scope": "WORKLOAD_SELECTOR", "action": "ALLOW", "rules": [
          {"clauses": [{"matches": [{"principals": [{"exact": "cluster.local/ns/n/sa/s"}],
          "source_ips": ["10.0.0.0/8"], "destination_ports": [8080]}]}]}]}]})",
      R"({"workloads": [], "services": [], "policies": []})",
      R"({"policies": [{"name": "p", "namespace": "n", "scope": "GLOBAL", "action": "DENY", "rules": [{"clauses": []}]}]})",
  };
}

}  // namespace byrnie
