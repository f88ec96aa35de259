#include "common/tls/client_hello.h"

#include <algorithm>
#include <utility>

#include "absl/types/optional.h"
#include "common/base/release_memory.h"

namespace byrnie {
namespace {

// RFC 8446 section 5.1: type, version, length.
constexpr size_t kRecordHeader = 5;
constexpr uint8_t kHandshakeRecord = 22;
constexpr uint8_t kMajorVersion = 3;
// 3.4 would be TLS 1.3's own number, which no record carries today.
constexpr uint8_t kMaxMinorVersion = 4;
constexpr size_t kMaxRecordContent = 1 << 14;

// RFC 8446 section 4: type, 24-bit length.
constexpr size_t kMessageHeader = 4;
constexpr uint8_t kClientHelloMessage = 1;

constexpr size_t kRandomSize = 32;
constexpr size_t kMaxSessionId = 32;
constexpr uint16_t kServerNameExtension = 0;
constexpr uint16_t kAlpnExtension = 16;
constexpr uint8_t kHostName = 0;

// Takes bytes from the front of a text; what is not there makes it fail for good.
class Reader {
 public:
  explicit Reader(absl::string_view data) : data_(data) {}

  bool ok() const { return ok_; }
  bool empty() const { return data_.empty(); }
  uint32_t Number(size_t size) {
    uint32_t value = 0;
    for (const char byte : Bytes(size)) value = (value << 8) | static_cast<uint8_t>(byte);
    return value;
  }
  absl::string_view Bytes(size_t size) {
    if (!ok_ || size > data_.size()) {
      ok_ = false;
      return {};
    }
    const absl::string_view taken = data_.substr(0, size);
    data_.remove_prefix(size);
    return taken;
  }
  // A vector with a length of `size` bytes in front.
  absl::string_view Vector(size_t size) { return Bytes(Number(size)); }

 private:
  absl::string_view data_;
  bool ok_ = true;
};

bool ParseAlpn(absl::string_view extension, std::vector<std::string>* out) {
  Reader reader(extension);
  Reader names(reader.Vector(2));
  if (!reader.ok() || !reader.empty() || names.empty()) return false;
  while (!names.empty()) {
    const absl::string_view name = names.Vector(1);
    if (!names.ok() || name.empty()) return false;
    out->emplace_back(name);
  }
  return true;
}

bool ParseServerName(absl::string_view extension, std::string* out) {
  Reader reader(extension);
  Reader names(reader.Vector(2));
  if (!reader.ok() || !reader.empty() || names.empty()) return false;
  while (!names.empty()) {
    const uint32_t type = names.Number(1);
    const absl::string_view name = names.Vector(2);
    if (!names.ok() || name.empty()) return false;
    if (type == kHostName && out->empty()) *out = std::string(name);
  }
  return true;
}

// None when `body` is not one ClientHello and nothing else.
absl::optional<ClientHello> ParseBody(absl::string_view body) {
  Reader reader(body);
  reader.Number(2);  // legacy_version: RFC 8446 section 4.1.2 gives it no meaning any more.
  reader.Bytes(kRandomSize);
  const absl::string_view session_id = reader.Vector(1);
  const absl::string_view ciphers = reader.Vector(2);
  const absl::string_view compressions = reader.Vector(1);
  if (!reader.ok() || session_id.size() > kMaxSessionId || ciphers.empty() ||
      ciphers.size() % 2 != 0 || compressions.empty()) {
    return absl::nullopt;
  }
  ClientHello hello;
  if (reader.empty()) return hello;  // TLS 1.2 and older may have no extensions.
  Reader extensions(reader.Vector(2));
  if (!reader.ok() || !reader.empty()) return absl::nullopt;
  bool has_alpn = false;
  bool has_name = false;
  while (!extensions.empty()) {
    const uint32_t type = extensions.Number(2);
    const absl::string_view data = extensions.Vector(2);
    if (!extensions.ok()) return absl::nullopt;
    // Twice the same is forbidden (section 4.2), and would let two readers see different hellos.
    if (type == kAlpnExtension) {
      if (std::exchange(has_alpn, true) || !ParseAlpn(data, &hello.alpn)) return absl::nullopt;
    } else if (type == kServerNameExtension) {
      if (std::exchange(has_name, true) || !ParseServerName(data, &hello.server_name)) {
        return absl::nullopt;
      }
    }
  }
  return hello;
}

}  // namespace

bool ClientHello::Offers(absl::string_view protocol) const {
  return std::find(alpn.begin(), alpn.end(), protocol) != alpn.end();
}

ClientHelloParser::State ClientHelloParser::Feed(absl::Span<const uint8_t> data) {
  while (state_ == State::kNeedMore && !data.empty()) {
    if (header_size_ < kRecordHeader) {
      TakeHeaderByte(data[0]);
      data.remove_prefix(1);
      continue;
    }
    const size_t size = std::min<size_t>(data.size(), content_left_);
    if (!TakeContent(data.subspan(0, size))) break;
    data.remove_prefix(size);
    content_left_ = static_cast<uint16_t>(content_left_ - size);
    if (content_left_ == 0) header_size_ = 0;
  }
  if (state_ != State::kNeedMore) ReleaseMemory(&message_);
  return state_;
}

void ClientHelloParser::TakeHeaderByte(uint8_t byte) {
  // Until a record has given content it is not said that this is TLS at all.
  const State bad = message_.empty() ? State::kNotTls : State::kMalformed;
  switch (header_size_++) {
    case 0:
      if (byte != kHandshakeRecord) state_ = bad;
      return;
    case 1:
      if (byte != kMajorVersion) state_ = bad;
      return;
    case 2:
      if (byte > kMaxMinorVersion) state_ = bad;
      return;
    case 3:
      content_left_ = static_cast<uint16_t>(byte << 8);
      return;
    default:
      content_left_ = static_cast<uint16_t>(content_left_ | byte);
      // Empty handshake records are forbidden (RFC 8446 section 5.1): they would never end.
      if (content_left_ == 0 || content_left_ > kMaxRecordContent) state_ = bad;
  }
}

bool ClientHelloParser::TakeContent(absl::Span<const uint8_t> data) {
  for (; message_.size() < kMessageHeader && !data.empty(); data.remove_prefix(1)) {
    if (message_.empty() && data[0] != kClientHelloMessage) {
      state_ = State::kNotTls;
      return false;
    }
    message_.push_back(static_cast<char>(data[0]));
  }
  if (message_.size() < kMessageHeader) return true;
  const size_t size =
      kMessageHeader + Reader(absl::string_view(message_).substr(1, kMessageHeader - 1)).Number(3);
  if (size > kMaxMessage) {
    state_ = State::kMalformed;
    return false;
  }
  const size_t taken = std::min(size - message_.size(), data.size());
  message_.append(reinterpret_cast<const char*>(data.data()), taken);
  if (message_.size() < size) return true;
  absl::optional<ClientHello> hello = ParseBody(absl::string_view(message_).substr(kMessageHeader));
  if (hello.has_value()) {
    hello_ = *std::move(hello);
    state_ = State::kHello;
  } else {
    state_ = State::kMalformed;
  }
  return false;
}

}  // namespace byrnie
