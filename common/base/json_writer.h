#ifndef BYRNIE_COMMON_BASE_JSON_WRITER_H_
#define BYRNIE_COMMON_BASE_JSON_WRITER_H_

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/string_view.h"

namespace byrnie {

// Appends `text` as a JSON string with its quotes (RFC 8259 section 7). Bytes that are not UTF-8
// become U+FFFD.
void AppendJsonString(absl::string_view text, std::string* out);

// Writes one JSON text, members in the order of the calls:
//   JsonWriter json;
//   json.BeginObject().Field("name",
//   "a").Key("ports").BeginArray().Value(80).EndArray().EndObject(); std::move(json).Finish();   //
//   {"name":"a","ports":[80]}
// Calls out of order (a value in an object without its key) are our bug and abort in debug builds.
class JsonWriter {
 public:
  enum class Style {
    kCompact,  // One line without spaces: logs.
    kPretty,   // Two spaces per level: people.
  };

  explicit JsonWriter(Style style = Style::kCompact) : style_(style) {}

  JsonWriter& BeginObject() { return Begin('{'); }
  JsonWriter& EndObject() { return End('}'); }
  JsonWriter& BeginArray() { return Begin('['); }
  JsonWriter& EndArray() { return End(']'); }
  JsonWriter& Key(absl::string_view name);

  JsonWriter& Value(absl::string_view value);
  JsonWriter& Value(const char* value) { return Value(absl::string_view(value)); }
  JsonWriter& Value(const std::string& value) { return Value(absl::string_view(value)); }
  // Not a number and infinities have no JSON; they become null.
  JsonWriter& Value(double value);
  JsonWriter& Null();
  // Integers and bool.
  template <typename T, typename = std::enable_if_t<std::is_integral<T>::value>>
  JsonWriter& Value(T value) {
    if (std::is_same<T, bool>::value) return WriteBool(static_cast<bool>(value));
    if (std::is_signed<T>::value) return WriteSigned(static_cast<int64_t>(value));
    return WriteUnsigned(static_cast<uint64_t>(value));
  }

  // Key, then Value.
  template <typename T>
  JsonWriter& Field(absl::string_view name, const T& value) {
    Key(name);
    return Value(value);
  }

  // The text; everything begun has been ended.
  std::string Finish() &&;

 private:
  struct Level {
    char open;
    bool empty = true;
    bool has_key = false;
  };
  JsonWriter& Begin(char open);
  JsonWriter& End(char close);
  JsonWriter& WriteBool(bool value);
  JsonWriter& WriteSigned(int64_t value);
  JsonWriter& WriteUnsigned(uint64_t value);
  void BeforeValue();
  void Separate();
  void NewLine();

  const Style style_;
  std::string out_;
  std::vector<Level> levels_;
};

}  // namespace byrnie

#endif  // BYRNIE_COMMON_BASE_JSON_WRITER_H_
