#include "common/http2/peer_end.h"

#include "absl/status/status.h"
#include "common/base/status_matchers.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(PeerEndTest, IsFoundOnTheStatusAndItsCopies) {
  for (const PeerEnd::Of of : {PeerEnd::Of::kStream, PeerEnd::Of::kSession}) {
    for (const uint32_t code : {0u, 10u, 0x62797201u, 0xffffffffu}) {
      const absl::Status status = PeerEndError({of, code}, "reset");
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "reset"));
      const absl::Status copy = status;  // NOLINT: a copy is what is asked about.
      ASSERT_TRUE(PeerEndOf(copy).has_value());
      EXPECT_EQ(PeerEndOf(copy)->of, of);
      EXPECT_EQ(PeerEndOf(copy)->code, code);
    }
  }
}

TEST(PeerEndTest, IsNotThereWhereThePeerEndedNothing) {
  EXPECT_FALSE(PeerEndOf(absl::OkStatus()).has_value());
  EXPECT_FALSE(PeerEndOf(absl::UnavailableError("the transport is broken")).has_value());
}

}  // namespace
}  // namespace byrnie
