#include "controlplane/stream/stranger_streams.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/retry_after.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class StrangerStreamsTest : public ::testing::Test {
 protected:
  // Whether a stream of `peer` was admitted; it then stays open.
  bool Open(const std::string& peer) {
    auto place = streams_.Admit("test", peer);
    last_ = place.status();
    if (place.ok()) open_.push_back(*std::move(place));
    return last_.ok();
  }
  // How many of one address are admitted one after the other.
  size_t OpenAll(const std::string& prefix) {
    size_t opened = 0;
    while (Open(absl::StrCat(prefix, 1000 + opened))) ++opened;
    return opened;
  }
  std::string Metrics() const { return metrics_.RenderPrometheusText(); }

  FakeClock clock_;
  Logger logger_{-1, Logger::Format::kJson, LogLevel::kError};
  MetricRegistry metrics_;
  StrangerStreams streams_{&clock_, &logger_, &metrics_};
  std::vector<std::unique_ptr<Places::Place>> open_;
  absl::Status last_;
};

TEST_F(StrangerStreamsTest, OneAddressLeavesRoomForOthers) {
  EXPECT_EQ(OpenAll("ipv4:10.0.0.1:"), StrangerStreams::kOfOneAddress);
  EXPECT_EQ(last_.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(last_.message()), HasSubstr("close some"));
  EXPECT_EQ(RetryAfter(last_), StrangerStreams::kRetryAfter);
  EXPECT_TRUE(Open("ipv4:10.0.0.2:1000"));
  EXPECT_THAT(Metrics(), HasSubstr("streams_refused_total{limit=\"address\"} 1"));
  open_.clear();
  EXPECT_TRUE(Open("ipv4:10.0.0.1:1000"));
}

TEST_F(StrangerStreamsTest, AnIpv6AddressIsItsNetwork) {
  EXPECT_EQ(OpenAll("ipv6:%5Bfd00::1%5D:"), StrangerStreams::kOfOneAddress);
  EXPECT_FALSE(Open("ipv6:%5Bfd00::2%5D:1000"));
  EXPECT_TRUE(Open("ipv6:%5Bfd00:0:0:1::2%5D:1000"));
}

TEST_F(StrangerStreamsTest, ManyAddressesFindAnEnd) {
  size_t opened = 0;
  for (int host = 1; host <= 64; ++host) opened += OpenAll(absl::StrCat("ipv4:10.0.0.", host, ":"));
  EXPECT_EQ(opened, StrangerStreams::kOfAll);
  EXPECT_FALSE(Open("ipv4:10.0.1.1:1000"));
  EXPECT_EQ(RetryAfter(last_), StrangerStreams::kRetryAfter);
  EXPECT_THAT(Metrics(), HasSubstr("streams_refused_total{limit=\"all\"} "));
}

}  // namespace
}  // namespace byrnie
