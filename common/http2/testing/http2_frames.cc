#include "common/http2/testing/http2_frames.h"

#include <nghttp2/nghttp2.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace byrnie {
namespace {

constexpr size_t kFrameHead = 9;

std::string Bytes(uint32_t value, int count) {
  std::string bytes;
  for (int i = count - 1; i >= 0; --i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

uint32_t Number(absl::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

HeaderList Inflate(nghttp2_hd_inflater* inflater, absl::string_view block) {
  HeaderList fields;
  const auto* in = reinterpret_cast<const uint8_t*>(block.data());
  const uint8_t* const end = in + block.size();
  while (true) {
    nghttp2_nv field;
    int flags = 0;
    const ssize_t taken =
        nghttp2_hd_inflate_hd2(inflater, &field, &flags, in, static_cast<size_t>(end - in), 1);
    if (taken < 0) return {{"not", "a header block"}};
    in += taken;
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      fields.emplace_back(std::string(reinterpret_cast<const char*>(field.name), field.namelen),
                          std::string(reinterpret_cast<const char*>(field.value), field.valuelen));
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
  }
  nghttp2_hd_inflate_end_headers(inflater);
  return fields;
}

}  // namespace

std::string Http2Frame(uint8_t type, uint8_t flags, uint8_t stream, absl::string_view payload) {
  return absl::StrCat(Bytes(static_cast<uint32_t>(payload.size()), 3), Bytes(type, 1),
                      Bytes(flags, 1), Bytes(stream, 4), payload);
}

std::string Http2Fields(const HeaderList& fields) {
  std::string block;
  for (const auto& [name, value] : fields) {
    absl::StrAppend(&block, Bytes(0, 1), Bytes(static_cast<uint32_t>(name.size()), 1), name,
                    Bytes(static_cast<uint32_t>(value.size()), 1), value);
  }
  return block;
}

std::string Http2ServerBeginning() { return Http2Frame(kHttp2Settings, 0, 0, ""); }

std::string GrpcAnswer(absl::string_view body, int grpc_status) {
  return absl::StrCat(
      Http2Frame(kHttp2Headers, kHttp2EndHeaders, 1,
                 Http2Fields({{":status", "200"}, {"content-type", "application/grpc"}})),
      Http2Frame(kHttp2Data, 0, 1, body),
      Http2Frame(kHttp2Headers, kHttp2EndHeaders | kHttp2EndStream, 1,
                 Http2Fields({{"grpc-status", absl::StrCat(grpc_status)}})));
}

std::vector<ReadHttp2Frame> ReadHttp2Frames(absl::string_view bytes) {
  std::vector<ReadHttp2Frame> frames;
  if (!absl::ConsumePrefix(&bytes, NGHTTP2_CLIENT_MAGIC)) return frames;
  nghttp2_hd_inflater* inflater = nullptr;
  if (nghttp2_hd_inflate_new(&inflater) != 0) return frames;
  while (bytes.size() >= kFrameHead) {
    const size_t size = Number(bytes.substr(0, 3));
    if (bytes.size() - kFrameHead < size) break;
    ReadHttp2Frame frame;
    frame.type = static_cast<uint8_t>(bytes[3]);
    frame.flags = static_cast<uint8_t>(bytes[4]);
    frame.stream = Number(bytes.substr(5, 4));
    frame.payload = std::string(bytes.substr(kFrameHead, size));
    if (frame.type == kHttp2Headers) frame.fields = Inflate(inflater, frame.payload);
    bytes.remove_prefix(kFrameHead + size);
    frames.push_back(std::move(frame));
  }
  nghttp2_hd_inflate_del(inflater);
  return frames;
}

}  // namespace byrnie
