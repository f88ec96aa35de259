// JsonValue::Parse: configuration and registry files. Whatever is asked of a value, what it has no
// answer to is an error that says where.

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "common/base/json.h"
#include "test/fuzz/fuzz_target.h"

namespace byrnie {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

// All that a reader may ask of an object's member.
void AskFor(const JsonObject& object, absl::string_view name) {
  Check(object.Has(name) == object.Get(name).ok());
  (void)object.GetString(name);
  (void)object.GetStringOr(name, "");
  (void)object.GetInt(name, 0, 10);
  (void)object.GetIntOr(name, 0, 10, 5);
  (void)object.GetBool(name);
  (void)object.GetBoolOr(name, true);
  (void)object.GetArrayOrEmpty(name);
  (void)object.GetStringArrayOrEmpty(name);
  (void)object.GetObject(name);
}

// Reaches every node of the tree.
void Walk(const JsonValue& value) {
  Check(absl::StrContains(value.Error("wrong").message(), value.path()));
  if (const auto items = value.AsArray(); items.ok()) {
    for (const JsonValue& item : *items) Walk(item);
  }
  if (const auto object = value.AsObject(); object.ok()) {
    (void)object->CheckKeys({"a"});
    AskFor(*object, "a");
    AskFor(*object, "missing");
    for (const auto& [name, member] : object->Members()) Walk(member);
  }
  if (const auto number = value.AsInt(-5, 5); number.ok()) Check(*number >= -5 && *number <= 5);
  const int answers = value.is_null() + value.AsBool().ok() + value.AsDouble().ok() +
                      value.AsString().ok() + value.AsArray().ok() + value.AsObject().ok();
  Check(answers == 1);
  (void)value.AsStringArray();
}

// Lists that are given away element by element hold what the whole tree holds.
void WalkLists(absl::string_view text, size_t max_size) {
  size_t elements = 0;
  const auto rest = JsonValue::ParseLists(
      text, max_size, [&elements](absl::string_view member, const JsonValue& element) {
        Check(absl::StartsWith(element.path(), member));
        Walk(element);
        return ++elements < 100 ? absl::OkStatus() : absl::ResourceExhaustedError("enough");
      });
  if (rest.ok()) Walk(rest->value());
}

std::string LongList(int elements) {
  std::string text = "{\"a\":[0";
  for (int i = 1; i < elements; ++i) text += ",0";
  return text + "]}";
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {R"({"a": [1, 2.5, -3e4, true, null, "\u00e9\n"], "b": {"c": {}}})",
          "[]",
          "\"\\ud800\"",
          std::string(100, '['),
          R"({"a":1,"a":2})",
          R"({"a":true})",
          R"({"a":"text"})",
          R"({"a":["text",1,{"b":[null]}],"c":[[]]})",
          R"({"a":{"a":7}})",
          R"({"a":-7,"b":9223372036854775808,"c":18446744073709551616})",
          LongList(120),
          "[" + std::string(64 * 1024, ' ') + "]",
          "123456789012345678901234567890",
          "\xff\xfe"};
}

}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMaxSize = 64 * 1024;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto value = byrnie::JsonValue::Parse(text, kMaxSize);
  if (value.ok()) byrnie::Walk(*value);
  byrnie::WalkLists(text, kMaxSize);
  return 0;
}
