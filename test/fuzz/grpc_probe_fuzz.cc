// What an application answers a probe by gRPC with. The first byte chooses how the bytes are cut
// and whether they follow a good beginning; whatever comes, the call ends once, its answer is
// within its limits, and only the status SERVING is taken for health.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/http2_call.h"
#include "common/http2/testing/http2_frames.h"
#include "common/probe/grpc_health.h"
#include "test/fuzz/fuzz_target.h"
#include "test/fuzz/input_stream.h"

namespace byrnie {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckHealth(absl::string_view body) {
  if (!CheckGrpcHealthResponse(body).ok()) return;
  // The field and its value, or what a longer varint makes of it.
  Check(body.size() >= 7 && body.find('\x08', 5) != absl::string_view::npos);
}

void CheckCall(absl::string_view said, size_t piece) {
  ManualEventLoop loop;
  int ends = 0;
  Http2Call call(
      &loop,
      std::make_unique<InputStream>(
          absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(said.data()), said.size()), piece),
      {"10.0.0.7:90", std::string(kGrpcHealthPath), {}, GrpcHealthRequest("a.B")},
      [&ends](const absl::StatusOr<Http2Call::Answer>& answer) {
        ++ends;
        if (!answer.ok()) return;
        Check(answer->status >= 200 && answer->status <= 999);
        Check(answer->body.size() <= Http2Call::kMaxBody);
        size_t headers = 0;
        for (const auto& [name, value] : answer->headers) {
          headers += name.size() + value.size();
        }
        Check(headers <= Http2Call::kMaxHeaders);
        CheckHealth(answer->body);
      });
  loop.RunUntilIdle();
  Check(ends == 1);
}

}  // namespace
}  // namespace byrnie

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  byrnie::CheckHealth(text);
  const std::string beginning = (data[0] & 1) != 0 ? byrnie::Http2ServerBeginning() : "";
  byrnie::CheckCall(beginning + std::string(text), (data[0] & 2) != 0 ? 1 : size + 16);
  return 0;
}

namespace byrnie {

std::vector<std::string> FuzzSeeds() {
  const std::string serving("\0\0\0\0\2\x08\x01", 7), not_serving("\0\0\0\0\2\x08\x02", 7);
  const std::string whole = "\x01", slowly = "\x03", bare(1, '\0');
  const std::string code("\0\0\0\x08", 4);
  const std::string head =
      Http2Frame(kHttp2Headers, kHttp2EndHeaders, 1, Http2Fields({{":status", "200"}}));
  return {
      whole + GrpcAnswer(serving, 0),
      slowly + GrpcAnswer(not_serving, 0),
      slowly + GrpcAnswer(std::string("\0\0\0\0\6\x12\1x\x15\1\2", 11), 12),
      whole + head + head + Http2Frame(kHttp2Data, kHttp2EndStream, 1, serving),
      whole + head + Http2Frame(kHttp2ResetStream, 0, 1, code),
      whole + Http2Frame(kHttp2Goaway, 0, 0, std::string(4, '\0') + code),
      bare + "HTTP/1.1 400 Bad Request\r\n\r\n",
      bare + serving,
  };
}

}  // namespace byrnie
