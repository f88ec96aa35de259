#ifndef BYRNIE_DEPLOY_INJECTOR_JSON_H_
#define BYRNIE_DEPLOY_INJECTOR_JSON_H_

#include <cstddef>
#include <initializer_list>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace byrnie {

// A JSON value that can be changed, whose members keep the order of the text. JsonValue in common
// cannot be changed; nothing outside the injector needs that. It is compiled without exceptions,
// where nlohmann's accessors abort: use only what follows, and operator[] on what was asked for its
// type.
using Json = nlohmann::ordered_json;

// As JsonValue::Parse, which it is made with: strict, no key twice, no deep nesting.
absl::StatusOr<Json> ParseJson(absl::string_view text, size_t max_size);

// One line; what is not UTF-8 becomes U+FFFD.
std::string ToText(const Json& value);

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
