#include "common/probe/grpc_health.h"

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace byrnie {
namespace {

// A flag for compression, and the size of what follows.
constexpr size_t kPrefix = 5;
constexpr uint8_t kServiceTag = 1 << 3 | 2;
constexpr uint64_t kStatusField = 1;
constexpr uint64_t kServing = 1;
constexpr const char* kStatuses[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value > 0x7f; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

// Takes the encoding apart from its beginning on.
class Reader {
 public:
  explicit Reader(absl::string_view left) : left_(left) {}
  bool empty() const { return left_.empty(); }
  absl::optional<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !left_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(left_.front());
      left_.remove_prefix(1);
      value |= uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return value;
    }
    return absl::nullopt;
  }
  bool Skip(uint64_t size) {
    if (size > left_.size()) return false;
    left_.remove_prefix(static_cast<size_t>(size));
    return true;
  }
  // A field's content that nobody here knows.
  bool SkipField(uint64_t wire_type) {
    switch (wire_type) {
      case 0:
        return Varint().has_value();
      case 1:
        return Skip(8);
      case 2: {
        const absl::optional<uint64_t> size = Varint();
        return size.has_value() && Skip(*size);
      }
      case 5:
        return Skip(4);
      default:
        return false;
    }
  }

 private:
  absl::string_view left_;
};

// The last of several counts, as in every protobuf; none is 0.
absl::optional<uint64_t> StatusIn(absl::string_view message) {
  uint64_t status = 0;
  Reader reader(message);
  while (!reader.empty()) {
    const absl::optional<uint64_t> tag = reader.Varint();
    if (!tag.has_value() || *tag >> 3 == 0) return absl::nullopt;
    if (*tag == kStatusField << 3) {
      const absl::optional<uint64_t> value = reader.Varint();
      if (!value.has_value()) return absl::nullopt;
      status = *value;
    } else if (!reader.SkipField(*tag & 7)) {
      return absl::nullopt;
    }
  }
  return status;
}

}  // namespace

std::string GrpcHealthRequest(absl::string_view service) {
  std::string message;
  if (!service.empty()) {
    message = absl::StrCat(std::string(1, kServiceTag), Varint(service.size()), service);
  }
  std::string framed(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    framed.push_back(static_cast<char>(message.size() >> shift));
  }
  return framed + message;
}

absl::Status CheckGrpcHealthResponse(absl::string_view body) {
  if (body.size() < kPrefix) return absl::InvalidArgumentError("its answer has no message");
  uint32_t size = 0;
  for (size_t i = 1; i < kPrefix; ++i) size = size << 8 | static_cast<uint8_t>(body[i]);
  if (body[0] != '\0' || size != body.size() - kPrefix) {
    return absl::InvalidArgumentError("its answer is not one message as it is");
  }
  const absl::optional<uint64_t> status = StatusIn(body.substr(kPrefix));
  if (!status.has_value()) return absl::InvalidArgumentError("its answer is no health check's");
  if (*status == kServing) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "it is ", *status < std::size(kStatuses) ? kStatuses[*status] : absl::StrCat(*status)));
}

}  // namespace byrnie
