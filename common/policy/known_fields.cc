#include "common/policy/known_fields.h"

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

constexpr int kVarint = 0;
constexpr int kLengthDelimited = 2;
// Deeper than any message described; the parser before has its own bound of 100.
constexpr int kMaxDepth = 16;

// Takes a base-128 varint off the front; false when it is cut short or longer than 64 bits.
bool TakeVarint(absl::string_view* bytes, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && !bytes->empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes->front());
    bytes->remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

absl::Status Malformed(absl::string_view path) {
  return absl::InvalidArgumentError(absl::StrCat("malformed message in \"", path, "\""));
}

absl::Status Check(absl::string_view bytes, const KnownFields& known, const std::string& path,
                   int depth) {
  if (depth > kMaxDepth) return Malformed(path);
  while (!bytes.empty()) {
    uint64_t tag;
    if (!TakeVarint(&bytes, &tag)) return Malformed(path);
    const auto found = known.fields.find(static_cast<int>(tag >> 3));
    if (tag >> 3 > INT32_MAX || found == known.fields.end() ||
        found->second.wire_type != static_cast<int>(tag & 7)) {
      return absl::InvalidArgumentError(absl::StrCat("unknown field ", tag >> 3, " of wire type ",
                                                     tag & 7, path.empty() ? "" : " in \"", path,
                                                     path.empty() ? "" : "\""));
    }
    const KnownFields::Field& field = found->second;
    uint64_t value;
    if (!TakeVarint(&bytes, &value)) return Malformed(path);
    if (field.wire_type == kVarint) continue;
    if (field.wire_type != kLengthDelimited || value > bytes.size()) return Malformed(path);
    if (field.message != nullptr) {
      const std::string inner =
          path.empty() ? std::string(field.name) : absl::StrCat(path, ".", field.name);
      absl::Status status = Check(bytes.substr(0, value), *field.message, inner, depth + 1);
      if (!status.ok()) return status;
    }
    bytes.remove_prefix(value);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckKnownFields(absl::string_view serialized, const KnownFields& known) {
  return Check(serialized, known, "", 0);
}

}  // namespace byrnie
