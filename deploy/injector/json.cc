#include "deploy/injector/json.h"

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "common/base/json.h"
#include "common/base/status_macros.h"

namespace byrnie {
namespace {

Json NumberOf(const JsonValue& value) {
  const absl::StatusOr<int64_t> integer =
      value.AsInt(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  if (integer.ok()) return Json(*integer);
  const absl::StatusOr<double> number = value.AsDouble();
  return number.ok() ? Json(*number) : Json(nullptr);
}

// Not deeper than JsonValue::kMaxDepth.
Json Copy(const JsonValue& value) {
  switch (value.type()) {
    case JsonValue::Type::kNull:
      return Json(nullptr);
    case JsonValue::Type::kBool:
      return Json(value.AsBool().value_or(false));
    case JsonValue::Type::kNumber:
      return NumberOf(value);
    case JsonValue::Type::kString:
      return Json(value.AsString().value_or(""));
    case JsonValue::Type::kArray: {
      Json array = Json::array();
      const absl::StatusOr<std::vector<JsonValue>> elements = value.AsArray();
      if (elements.ok()) {
        for (const JsonValue& element : *elements) array.push_back(Copy(element));
      }
      return array;
    }
    case JsonValue::Type::kObject: {
      Json object = Json::object();
      const absl::StatusOr<JsonObject> members = value.AsObject();
      if (members.ok()) {
        // Their names differ; operator[] would look for each among all.
        auto& made = object.get_ref<Json::object_t&>();
        for (const auto& [name, member] : members->Members()) made.push_back({name, Copy(member)});
      }
      return object;
    }
  }
  return Json(nullptr);
}

bool SameMembers(const Json& a, const Json& b) {
  if (a.size() != b.size()) return false;
  auto beside = b.items().begin();
  for (const auto& member : a.items()) {
    // Mostly they are in the same order.
    const Json* const other =
        beside.key() == member.key() ? &beside.value() : Find(b, member.key());
    if (other == nullptr || !SameJson(member.value(), *other)) return false;
    ++beside;
  }
  return true;
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, size_t max_size) {
  ASSIGN_OR_RETURN(const JsonValue value, JsonValue::Parse(text, max_size));
  return Copy(value);
}

std::string ToText(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const Json* Find(const Json& value, absl::string_view name) {
  if (!value.is_object()) return nullptr;
  const auto found = value.find(std::string(name));
  return found == value.end() ? nullptr : &*found;
}

Json* Find(Json* value, absl::string_view name) {
  return const_cast<Json*>(Find(static_cast<const Json&>(*value), name));
}

const Json* FindPath(const Json& value, std::initializer_list<absl::string_view> names) {
  const Json* found = &value;
  for (const absl::string_view name : names) {
    if (found != nullptr) found = Find(*found, name);
  }
  return found;
}

std::string TextOf(const Json& object, absl::string_view name) {
  const Json* const found = Find(object, name);
  return found != nullptr && found->is_string() ? found->get_ref<const std::string&>() : "";
}

const Json::array_t& ItemsOf(const Json& object, absl::string_view name) {
  static const auto* const kNone = new Json::array_t();
  const Json* const found = Find(object, name);
  return found != nullptr && found->is_array() ? found->get_ref<const Json::array_t&>() : *kNone;
}

bool IsTrue(const Json& object, absl::string_view name) {
  const Json* const found = Find(object, name);
  return found != nullptr && found->is_boolean() && *found == true;
}

Json* ObjectIn(Json* object, absl::string_view name) {
  Json& member = (*object)[std::string(name)];
  if (!member.is_object()) member = Json::object();
  return &member;
}

Json* ArrayIn(Json* object, absl::string_view name) {
  Json& member = (*object)[std::string(name)];
  if (!member.is_array()) member = Json::array();
  return &member;
}

void Remove(Json* object, absl::string_view name) {
  if (object->is_object()) object->erase(std::string(name));
}

bool SameJson(const Json& a, const Json& b) {
  if (a.is_object() && b.is_object()) return SameMembers(a, b);
  if (!a.is_array() || !b.is_array()) return a == b;
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!SameJson(a[i], b[i])) return false;
  }
  return true;
}

}  // namespace byrnie
