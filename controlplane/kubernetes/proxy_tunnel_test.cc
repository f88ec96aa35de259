#include "controlplane/kubernetes/proxy_tunnel.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/testing/memory_stream_pair.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using Quota = MemoryStreamPair::Quota;

// Whole, and a byte at a time.
class ProxyTunnelTest : public ::testing::TestWithParam<bool> {
 protected:
  ProxyTunnelTest() : pair_(&loop_, GetQuota(), GetQuota()), proxy_end_(pair_.TakeB()) {}

  static Quota GetQuota() {
    Quota quota;
    if (!GetParam()) return quota;
    quota.read = quota.write = 1;
    quota.block_between = true;
    return quota;
  }

  void Begin(absl::string_view url = "http://proxy:3128") {
    absl::StatusOr<HttpProxy> proxy = ParseProxyUrl(url);
    ASSERT_THAT(proxy, IsOk());
    tunnel_ = std::make_unique<ProxyTunnel>(
        &loop_, *proxy, "api.example:6443", pair_.TakeA(),
        [this](absl::StatusOr<std::unique_ptr<ByteStream>> stream) { said_ = std::move(stream); });
    loop_.RunUntilIdle();
  }
  // All that a stream has to give now.
  std::string Hear(ByteStream* stream) {
    std::string heard;
    for (int i = 0; i < 4000; ++i) {
      uint8_t buffer[256];
      const IoResult result = stream->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof || result.status == IoStatus::kError) break;
      heard.append(reinterpret_cast<const char*>(buffer), result.bytes);
      loop_.RunUntilIdle();
    }
    return heard;
  }
  void Say(absl::string_view text) {
    for (int i = 0; i < 4000 && !text.empty(); ++i) {
      text.remove_prefix(proxy_end_
                             ->Write(absl::MakeConstSpan(
                                 reinterpret_cast<const uint8_t*>(text.data()), text.size()))
                             .bytes);
      loop_.RunUntilIdle();
    }
  }

  ManualEventLoop loop_;
  MemoryStreamPair pair_;
  std::unique_ptr<ByteStream> proxy_end_;
  std::unique_ptr<ProxyTunnel> tunnel_;
  absl::optional<absl::StatusOr<std::unique_ptr<ByteStream>>> said_;
};

INSTANTIATE_TEST_SUITE_P(Quotas, ProxyTunnelTest, ::testing::Bool());

TEST_P(ProxyTunnelTest, GivesTheStreamOnWithWhatComesBehindTheAnswer) {
  Begin();
  EXPECT_EQ(Hear(proxy_end_.get()),
            "CONNECT api.example:6443 HTTP/1.1\r\nHost: api.example:6443\r\n\r\n");
  EXPECT_FALSE(said_.has_value());
  Say("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nfirst");
  ASSERT_TRUE(said_.has_value());
  ASSERT_THAT(*said_, IsOk());
  tunnel_.reset();
  EXPECT_EQ(Hear((*said_)->get()), "first");
}

TEST_P(ProxyTunnelTest, SaysWhoAsks) {
  Begin("http://me:p%40ss@proxy:3128");
  EXPECT_THAT(Hear(proxy_end_.get()),
              HasSubstr(absl::StrCat("\r\nProxy-Authorization: Basic ",
                                     absl::Base64Escape("me:p@ss"), "\r\n")));
}

TEST_P(ProxyTunnelTest, SaysWhatTheProxyAnswers) {
  const struct {
    const char* answer;
    absl::StatusCode code;
    const char* message;
  } kCases[] = {
      {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
       absl::StatusCode::kPermissionDenied, "it answers 407: it wants to know who asks"},
      {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", absl::StatusCode::kPermissionDenied,
       "the proxy proxy:3128, asked for api.example:6443: it answers 403"},
      {"HTTP/1.1 502 Bad Gateway\r\n\r\n", absl::StatusCode::kUnavailable, "it answers 502"},
      {"SSH-2.0-OpenSSH\r\n\r\n", absl::StatusCode::kUnavailable, "no HTTP"},
  };
  for (const auto& test : kCases) {
    MemoryStreamPair pair(&loop_);
    proxy_end_ = pair.TakeB();
    said_.reset();
    absl::StatusOr<HttpProxy> proxy = ParseProxyUrl("http://proxy:3128");
    tunnel_ = std::make_unique<ProxyTunnel>(
        &loop_, *proxy, "api.example:6443", pair.TakeA(),
        [this](absl::StatusOr<std::unique_ptr<ByteStream>> stream) { said_ = std::move(stream); });
    loop_.RunUntilIdle();
    Say(test.answer);
    ASSERT_TRUE(said_.has_value()) << test.answer;
    EXPECT_THAT(*said_, StatusIs(test.code, HasSubstr(test.message)));
    tunnel_.reset();
  }
}

TEST_P(ProxyTunnelTest, SaysThatTheProxyHangsUp) {
  Begin();
  Hear(proxy_end_.get());
  proxy_end_->ShutdownWrite();
  loop_.RunUntilIdle();
  ASSERT_TRUE(said_.has_value());
  EXPECT_THAT(*said_, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("hangs up")));
}

TEST_P(ProxyTunnelTest, DoesNotWaitForEver) {
  Begin();
  loop_.AdvanceTime(ProxyTunnel::kTimeout);
  ASSERT_TRUE(said_.has_value());
  EXPECT_THAT(*said_, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("within 15s")));
}

TEST_P(ProxyTunnelTest, MayBeGivenUp) {
  Begin();
  tunnel_.reset();
  loop_.RunUntilIdle();
  EXPECT_FALSE(said_.has_value());
}

}  // namespace
}  // namespace byrnie
