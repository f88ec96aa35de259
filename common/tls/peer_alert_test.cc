#include "common/tls/peer_alert.h"

#include "absl/status/status.h"
#include "common/net/end_code.h"
#include "gtest/gtest.h"
#include "openssl/ssl.h"

namespace byrnie {
namespace {

TEST(PeerAlertTest, SaysWhatIsWrongWithThePeer) {
  for (const EndCode code : {kEndPolicyChanged, kEndTrustRemoved, kEndCertificateRevoked}) {
    const absl::optional<uint8_t> alert = AlertOfEndCode(code);
    ASSERT_TRUE(alert.has_value());
    EXPECT_EQ(EndCodeOfAlert(PeerAlertStatus(*alert)), code);
  }
}

TEST(PeerAlertTest, SaysNothingOfWhatIsNotThePeers) {
  // A certificate that has ended may be the sender's own.
  for (const EndCode code : {kEndUnsaid, kEndIdentityExpired, kEndRevocationUnknown, kEndDrained,
                             kEndMaxAge, kEndIdleTimeout, kEndHalfCloseTimeout}) {
    EXPECT_EQ(AlertOfEndCode(code), absl::nullopt);
  }
  EXPECT_EQ(EndCodeOfAlert(PeerAlertStatus(SSL_AD_INTERNAL_ERROR)), kEndUnsaid);
  EXPECT_EQ(EndCodeOfAlert(PeerAlertStatus(SSL_AD_CERTIFICATE_EXPIRED)), kEndUnsaid);
  EXPECT_EQ(EndCodeOfAlert(absl::UnauthenticatedError("peer refused us: access_denied")),
            kEndUnsaid);
  EXPECT_EQ(EndCodeOfAlert(absl::OkStatus()), kEndUnsaid);
}

}  // namespace
}  // namespace byrnie
