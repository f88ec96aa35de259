#ifndef BYRNIE_COMMON_BASE_JSON_H_
#define BYRNIE_COMMON_BASE_JSON_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace byrnie {

class JsonObject;
class JsonTreeBuilder;

// One value of a parsed JSON text (RFC 8259). A cheap handle: copies share the immutable tree and
// keep it alive. Knows its place, so that every error says where, as in "workloads[2].addresses[0]:
// expected a string, found a number". Every As… fails with InvalidArgument.
class JsonValue {
 public:
  enum class Type { kNull, kBool, kNumber, kString, kArray, kObject };

  // Containers within containers beyond this are refused.
  static constexpr int kMaxDepth = 64;

  // Parses a whole text of at most `max_size` bytes. InvalidArgument (with line and column) for
  // anything that is not strict UTF-8 JSON, nested deeper than kMaxDepth, or has the same key twice
  // in one object.
  static absl::StatusOr<JsonValue> Parse(absl::string_view text, size_t max_size);

  // As Parse, for long lists within one object, {"workloads": [...], "services": [...]}: gives each
  // element of them to `on_element` as soon as it has been read, with its member's name, and
  // forgets it, so that the whole is never in memory. Returns the object with its lists empty: what
  // else is in it is the caller's to check. An error of `on_element` ends it and is returned.
  static absl::StatusOr<JsonObject> ParseLists(
      absl::string_view text, size_t max_size,
      const std::function<absl::Status(absl::string_view member, const JsonValue& element)>&
          on_element);

  Type type() const;
  bool is_null() const { return type() == Type::kNull; }
  // "workloads[2].name"; empty for the whole document.
  const std::string& path() const { return path_; }

  absl::StatusOr<bool> AsBool() const;
  absl::StatusOr<std::string> AsString() const;
  // An integer within [min, max]; a number with a fraction or an exponent is none.
  absl::StatusOr<int64_t> AsInt(int64_t min, int64_t max) const;
  absl::StatusOr<double> AsDouble() const;
  absl::StatusOr<std::vector<JsonValue>> AsArray() const;
  absl::StatusOr<std::vector<std::string>> AsStringArray() const;
  absl::StatusOr<JsonObject> AsObject() const;

  // InvalidArgument that names this place: for the caller's own checks of the content.
  absl::Status Error(absl::string_view what) const;

 private:
  friend class JsonObject;
  friend class JsonTreeBuilder;
  struct Node;
  JsonValue(std::shared_ptr<const Node> root, const Node* node, std::string path);
  static absl::StatusOr<JsonValue> ParseWith(absl::string_view text, size_t max_size,
                                             JsonTreeBuilder builder);
  absl::Status WrongType(absl::string_view expected) const;

  std::shared_ptr<const Node> root_;
  const Node* node_;  // Within *root_.
  std::string path_;
};

// A JsonValue known to be an object. The Get… forms fail with InvalidArgument when the member is
// missing or of another type; the …Or forms give the default when it is missing. null is a value,
// not a missing one.
class JsonObject {
 public:
  // InvalidArgument naming the first member that is not in `known` and what is known.
  absl::Status CheckKeys(std::initializer_list<absl::string_view> known) const;
  // All members in the order of the text.
  std::vector<std::pair<std::string, JsonValue>> Members() const;

  bool Has(absl::string_view name) const { return Find(name).has_value(); }
  absl::optional<JsonValue> Find(absl::string_view name) const;
  absl::StatusOr<JsonValue> Get(absl::string_view name) const;

  absl::StatusOr<std::string> GetString(absl::string_view name) const;
  absl::StatusOr<std::string> GetStringOr(absl::string_view name, absl::string_view missing) const;
  absl::StatusOr<int64_t> GetInt(absl::string_view name, int64_t min, int64_t max) const;
  absl::StatusOr<int64_t> GetIntOr(absl::string_view name, int64_t min, int64_t max,
                                   int64_t missing) const;
  absl::StatusOr<bool> GetBool(absl::string_view name) const;
  absl::StatusOr<bool> GetBoolOr(absl::string_view name, bool missing) const;
  // A missing array is an empty one in the …OrEmpty forms.
  absl::StatusOr<std::vector<JsonValue>> GetArrayOrEmpty(absl::string_view name) const;
  absl::StatusOr<std::vector<std::string>> GetStringArrayOrEmpty(absl::string_view name) const;
  absl::StatusOr<JsonObject> GetObject(absl::string_view name) const;

  const JsonValue& value() const { return value_; }
  const std::string& path() const { return value_.path(); }

 private:
  friend class JsonValue;
  explicit JsonObject(JsonValue value) : value_(std::move(value)) {}
  JsonValue value_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_JSON_H_
