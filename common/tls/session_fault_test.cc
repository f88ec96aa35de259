#include "common/tls/session_fault.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

TEST(SessionFaultTest, IsRecognisedOnTheStatusAndItsCopies) {
  for (const SessionFault fault : {SessionFault::kNone, SessionFault::kProtocol,
                                   SessionFault::kFlood, SessionFault::kTruncated}) {
    const absl::Status status = WithSessionFault(absl::DataLossError("what it did"), fault);
    EXPECT_TRUE(absl::IsDataLoss(status));
    EXPECT_EQ(status.message(), "what it did");
    const absl::Status copy = status;
    EXPECT_EQ(SessionFaultOf(copy), fault);
  }
}

TEST(SessionFaultTest, OfOtherErrorsThePeerIsNotAccused) {
  EXPECT_EQ(SessionFaultOf(absl::OkStatus()), SessionFault::kNone);
  EXPECT_EQ(SessionFaultOf(absl::DataLossError("TLS session broken")), SessionFault::kNone);
}

}  // namespace
}  // namespace byrnie
