// Manifests of people, in YAML or JSON: what is injected reads as it should, or there is an error.

#include <string>

#include "common/base/check.h"
#include "deploy/injector/injector_config.h"
#include "deploy/injector/manifest.h"
#include "test/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace byrnie;
  const InjectorConfig config;
  const auto result =
      InjectManifest(config, absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!result.ok()) {
    // Only what is read can be wrong.
    CHECK(absl::IsInvalidArgument(result.status()));
    return 0;
  }
  const auto again = InjectManifest(config, result->text);
  CHECK(again.ok() && again->text == result->text);
  const auto back = UninjectManifest(result->text);
  CHECK(back.ok());
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  return {
      ",",
      "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a # b\nspec:\n  containers:\n  - name: a\n"
      "    image: b\n    args:\n    - |\n      x\n      # y\n",
      "# c\napiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    metadata: {labels: {a: "
      "b}}\n"
      "    spec:\n      initContainers:\n        - name: i\n      containers: &c\n        - {name: "
      "a}\n"
      "---\nkind: X\na: *c\n...\n",
      "apiVersion: batch/v1\nkind: CronJob\nspec:\n jobTemplate:\n  spec:\n   template:\n    "
      "spec:\n"
      "     volumes:\n     - name: v\n     containers:\n     -\n       name: 'a'\n",
      R"({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "spec":
      {"containers": [{"name": "a"}]}}]})",
      R"({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a"}]}}b: 1)",
      "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n--- |\n  x\n--- >+\n  y",
  };
}

}  // namespace byrnie
