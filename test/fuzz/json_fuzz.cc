// JsonValue::Parse: configuration and registry files.

#include "common/base/json.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

// Reaches every node of the tree.
void Walk(const JsonValue& value) {
  (void)value.path();
  if (const auto items = value.AsArray(); items.ok()) {
    for (const JsonValue& item : *items) Walk(item);
  }
  if (const auto object = value.AsObject(); object.ok()) {
    (void)object->CheckKeys({"a"});
    for (const auto& [name, member] : object->Members()) Walk(member);
  }
  (void)value.AsInt(-5, 5);
  (void)value.AsString();
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {R"({"a": [1, 2.5, -3e4, true, null, "\u00e9\n"], "b": {"c": {}}})",
          "[]",
          "\"\\ud800\"",
          std::string(100, '['),
          R"({"a":1,"a":2})",
          "123456789012345678901234567890",
          "\xff\xfe"};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto value = byrnie::JsonValue::Parse(
      absl::string_view(reinterpret_cast<const char*>(data), size), 64 * 1024);
  if (value.ok()) byrnie::Walk(*value);
  return 0;
}
