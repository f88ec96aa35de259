#include "common/http2/peer_fault.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(PeerFaultTest, IsRecognisedOnTheStatusAndItsCopies) {
  for (const PeerFault fault : {PeerFault::kNone, PeerFault::kProtocol, PeerFault::kFlood}) {
    const absl::Status status = PeerFaultError(fault, "what it did");
    EXPECT_TRUE(absl::IsUnavailable(status));
    EXPECT_EQ(status.message(), "what it did");
    const absl::Status copy = status;
    EXPECT_EQ(PeerFaultOf(copy), fault);
  }
}

TEST(PeerFaultTest, OfOtherErrorsThePeerIsNotAccused) {
  EXPECT_EQ(PeerFaultOf(absl::OkStatus()), PeerFault::kNone);
  EXPECT_EQ(PeerFaultOf(absl::UnavailableError("http/2 error of the peer")), PeerFault::kNone);
}

}  // namespace
}  // namespace byrnie
