#include "deploy/injector/json.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/json.h"
#include "common/base/json_error.h"

namespace byrnie {
namespace {

// Beside objects that are smaller an index is not worth it.
constexpr size_t kManyMembers = 16;

// Receives the parser's events and builds the value. nlohmann's own would take the same key twice,
// after having looked for each among all before it, and any depth.
class Builder {
 public:
  explicit Builder(size_t max_values) : values_left_(max_values) {}

  bool null() { return Add(Json(nullptr)); }
  bool boolean(bool value) { return Add(Json(value)); }
  bool number_integer(int64_t value) { return Add(Json(value)); }
  bool number_unsigned(uint64_t value) {
    constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    return Add(value <= kLargest ? Json(static_cast<int64_t>(value))
                                 : Json(static_cast<double>(value)));
  }
  bool number_float(double value, const std::string&) { return Add(Json(value)); }
  bool string(std::string& value) { return Add(Json(std::move(value))); }
  bool binary(std::vector<uint8_t>&) { return false; }
  bool start_object(size_t) { return Open(Json::object()); }
  bool start_array(size_t) { return Open(Json::array()); }
  bool end_object() {
    const std::string* const twice = KeyThatIsThereTwice(open_.back().value);
    if (twice == nullptr) return Close();
    return Fail(absl::StrCat("the key \"", Shortened(*twice), "\" appears twice in one object"));
  }
  bool end_array() { return Close(); }
  bool key(std::string& name) {
    open_.back().key = std::move(name);
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) {
    return Fail(absl::StrCat("invalid JSON at ", Shortened(PlaceOfJsonError(error.what()), 200)));
  }

  bool Fail(std::string what) {
    if (error_.empty()) error_ = std::move(what);
    return false;
  }
  absl::StatusOr<Json> Finish() && {
    if (!error_.empty()) return absl::InvalidArgumentError(error_);
    return std::move(root_);
  }

 private:
  struct Level {
    Json value;
    std::string key;  // The member of an object that comes next.
  };

  static const std::string* KeyThatIsThereTwice(const Json& object) {
    std::vector<const std::string*> keys;
    keys.reserve(object.size());
    for (const auto& member : object.get_ref<const Json::object_t&>()) {
      keys.push_back(&member.first);
    }
    std::sort(keys.begin(), keys.end(),
              [](const std::string* a, const std::string* b) { return *a < *b; });
    const auto found =
        std::adjacent_find(keys.begin(), keys.end(),
                           [](const std::string* a, const std::string* b) { return *a == *b; });
    return found == keys.end() ? nullptr : *found;
  }

  bool Add(Json value) {
    if (values_left_ == 0) return Fail("it has too many values");
    --values_left_;
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Level& parent = open_.back();
    if (parent.value.is_array()) {
      parent.value.get_ref<Json::array_t&>().push_back(std::move(value));
    } else {
      // Not operator[], which would look for it among all.
      parent.value.get_ref<Json::object_t&>().push_back({std::move(parent.key), std::move(value)});
    }
    return true;
  }
  bool Open(Json value) {
    if (open_.size() >= JsonValue::kMaxDepth) {
      return Fail(absl::StrCat("nested deeper than ", JsonValue::kMaxDepth, " levels"));
    }
    open_.push_back({std::move(value), ""});
    return true;
  }
  bool Close() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    return Add(std::move(value));
  }

  size_t values_left_;
  Json root_;
  std::vector<Level> open_;
  std::string error_;
};

bool SameMembers(const Json& a, const Json& b) {
  if (a.size() != b.size()) return false;
  absl::optional<MemberIndex> index;
  auto beside = b.get_ref<const Json::object_t&>().begin();
  for (const auto& [key, value] : a.get_ref<const Json::object_t&>()) {
    // Mostly they are in the same order.
    const Json* other = &beside->second;
    if (beside->first != key) {
      if (!index.has_value()) index.emplace(b);
      other = index->Find(key);
    }
    if (other == nullptr || !SameJson(value, *other)) return false;
    ++beside;
  }
  return true;
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, size_t max_size, size_t max_values) {
  if (text.size() > max_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON text of ", text.size(), " bytes is longer than ", max_size));
  }
  Builder builder(max_values);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) builder.Fail("invalid JSON");
  return std::move(builder).Finish();
}

std::string Shortened(absl::string_view text, size_t max_size) {
  if (text.size() <= max_size) return std::string(text);
  size_t end = max_size - std::min<size_t>(max_size, 3);
  // Not in the middle of a character.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), "...");
}

MemberIndex::MemberIndex(const Json& object) : object_(object) {
  if (object.size() <= kManyMembers) return;
  for (const auto& [key, value] : object.get_ref<const Json::object_t&>()) {
    members_.emplace(key, &value);
  }
}

const Json* MemberIndex::Find(absl::string_view name) const {
  if (members_.empty()) return byrnie::Find(object_, name);
  const auto found = members_.find(name);
  return found == members_.end() ? nullptr : found->second;
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
