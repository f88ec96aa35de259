#ifndef BYRNIE_DEPLOY_INJECTOR_JSON_H_
#define BYRNIE_DEPLOY_INJECTOR_JSON_H_

#include <cstddef>
#include <initializer_list>
#include <limits>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace byrnie {

// A JSON value that can be changed, whose members keep the order of the text. JsonValue in common
// cannot be changed; nothing outside the injector needs that. It is compiled without exceptions,
// where nlohmann's accessors abort: use only what follows, and operator[] on what was asked for its
// type.
using Json = nlohmann::ordered_json;

// As JsonValue::Parse: strict, no key twice, no deep nesting. InvalidArgument for that, and for a
// text of more than `max_size` bytes or `max_values` values. What it costs is in proportion to the
// text, whatever is in it.
absl::StatusOr<Json> ParseJson(absl::string_view text, size_t max_size,
                               size_t max_values = std::numeric_limits<size_t>::max());

// One line; what is not UTF-8 becomes U+FFFD.
std::string ToText(const Json& value);

// `text` where it is short enough to be quoted to somebody, else how it begins and "...".
std::string Shortened(absl::string_view text, size_t max_size = 128);

// The members of an object by their names, for whoever looks for many of them. Made from an
// `object` that outlives it and does not change.
class MemberIndex {
 public:
  explicit MemberIndex(const Json& object);
  // Null when there is none of that name.
  const Json* Find(absl::string_view name) const;

 private:
  const Json& object_;
  // Only of objects in which looking at each member would take long.
  absl::flat_hash_map<absl::string_view, const Json*> members_;
};

// The member of an object; null when `value` is no object or has none of that name.
const Json* Find(const Json& value, absl::string_view name);
Json* Find(Json* value, absl::string_view name);
const Json* FindPath(const Json& value, std::initializer_list<absl::string_view> names);

// A member that is a string; "" when it is missing or something else.
std::string TextOf(const Json& object, absl::string_view name);
// A member's elements; none when it is missing or no array.
const Json::array_t& ItemsOf(const Json& object, absl::string_view name);
// A member that is true.
bool IsTrue(const Json& object, absl::string_view name);

// The member `name` of `object`, made an empty object or array where it is missing, null, or of
// another type.
Json* ObjectIn(Json* object, absl::string_view name);
Json* ArrayIn(Json* object, absl::string_view name);
void Remove(Json* object, absl::string_view name);

// Whether they are the same, whatever the order of their members.
bool SameJson(const Json& a, const Json& b);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_JSON_H_
