// AccessPolicies as an API server sends them: whoever may make objects in a namespace writes them,
// as far as the schema of the CustomResourceDefinition lets them.

#include <string>

#include "common/base/check.h"
#include "common/base/json.h"
#include "controlplane/policy/kubernetes/access_policy.h"
#include "test/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto value = byrnie::JsonValue::Parse(
      absl::string_view(reinterpret_cast<const char*>(data), size), 1 << 20);
  if (!value.ok()) return 0;
  const auto object = byrnie::ParseAccessPolicy(*value, "byrnie-system");
  if (!object.ok() || !object->spec.ok()) return 0;
  // What is kept in its status is what was accepted.
  const std::string text = byrnie::WriteAccessPolicySpec(*object->spec);
  const auto again = byrnie::JsonValue::Parse(text, text.size());
  CHECK(again.ok());
  const auto spec = byrnie::ParseAccessPolicySpec(*again, object->name, "byrnie-system");
  CHECK(spec.ok());
  CHECK(spec->policy.SerializeAsString() == object->spec->policy.SerializeAsString());
  CHECK(spec->selector == object->spec->selector);
  CHECK(byrnie::WriteAccessPolicySpec(*spec) == text);
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  const std::string metadata =
      R"({"metadata": {"namespace": "n", "name": "p", "uid": "u", "resourceVersion": "1", "generation": 2}, )";
  return {
      metadata + R"("spec": {"scope": "WORKLOAD_SELECTOR", "action": "ALLOW", "dryRun": true,
          "selector": {"matchLabels": {"app.example.org/name": "a"}}, "rules": [{"clauses": [{"matches": [
          {"namespaces": [{"exact": "a"}], "notNamespaces": [{"prefix": "b"}], "principals": [{"suffix": "c"}],
          "notPrincipals": [{"presence": true}], "sourceIPs": ["10.0.0.0/8"], "notSourceIPs": ["fd00::/8"],
          "destinationIPs": ["10.1.0.1"], "notDestinationIPs": ["::ffff:10.0.0.0/104"], "destinationPorts": [80],
          "notDestinationPorts": [81], "serviceAccounts": [{"namespace": "d", "serviceAccount": "e"}],
          "notServiceAccounts": [{"namespace": "f", "serviceAccount": "g"}]}]}]}]}})",
      metadata +
          R"("spec": {"scope": "GLOBAL", "action": "DENY"}, "status": {"observedGeneration": 1, "conditions": [
          {"type": "Accepted", "status": "False", "reason": "Invalid", "message": "m", "observedGeneration": 1,
          "lastTransitionTime": "2026-01-01T00:00:00Z"}], "lastAccepted": {"generation": 1, "spec": "{}"}}})",
      metadata +
          R"("spec": {"scope": "NAMESPACE", "action": "DENY", "rules": [{"clauses": [{"matches": [{}]}]}]}})",
  };
}

}  // namespace byrnie
