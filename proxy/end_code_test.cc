#include "proxy/end_code.h"

#include <set>

#include "absl/status/status.h"
#include "common/http2/peer_end.h"
#include "common/tls/peer_alert.h"
#include "gtest/gtest.h"
#include "openssl/ssl.h"
#include "proxy/access_record.h"
#include "proxy/end_reason.h"
#include "proxy/reason_set.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

absl::Status Reset(uint32_t code) {
  return PeerEndError({PeerEnd::Of::kStream, code}, "the peer reset the stream");
}
absl::Status Goaway(uint32_t code) {
  return PeerEndError({PeerEnd::Of::kSession, code}, "the peer ended the http/2 session");
}

// The numbers of the protocol: what a release has sent stays what it is.
TEST(EndCodeTest, EachCodeIsForEver) {
  EXPECT_EQ(EndCodeOf(access_reason::kPolicyChanged), 0x62797201u);
  EXPECT_EQ(EndCodeOf(access_reason::kIdentityExpired), 0x62797202u);
  EXPECT_EQ(EndCodeOf(end_reason::kTrustRemoved), 0x62797203u);
  EXPECT_EQ(EndCodeOf(end_reason::kCertificateRevoked), 0x62797204u);
  EXPECT_EQ(EndCodeOf(end_reason::kRevocationUnknown), 0x62797205u);
  EXPECT_EQ(EndCodeOf(access_reason::kDrained), 0x62797206u);
  EXPECT_EQ(EndCodeOf(access_reason::kMaxAge), 0x62797207u);
  EXPECT_EQ(EndCodeOf(access_reason::kIdleTimeout), 0x62797208u);
  EXPECT_EQ(EndCodeOf(access_reason::kHalfCloseTimeout), 0x62797209u);
}

TEST(EndCodeTest, WhatIsSaidIsUnderstood) {
  std::set<uint32_t> codes;
  for (absl::string_view reason : AllReasons()) {
    const uint32_t code = EndCodeOf(reason);
    if (code == 0) continue;
    EXPECT_TRUE(codes.insert(code).second) << reason;
    EXPECT_EQ(PeerReasonOf(Reset(code)), reason);
    EXPECT_EQ(PeerReasonOf(Goaway(code)), "") << "of streams alone";
  }
  EXPECT_EQ(codes.size(), 9u);
}

TEST(EndCodeTest, WhatIsNotAllowedAnyMoreIsForbidden) {
  for (absl::string_view reason :
       {access_reason::kPolicyChanged, access_reason::kIdentityExpired, end_reason::kTrustRemoved,
        end_reason::kCertificateRevoked, end_reason::kRevocationUnknown}) {
    EXPECT_TRUE(PeerForbids(Reset(EndCodeOf(reason)))) << reason;
  }
  for (absl::string_view reason : {access_reason::kDrained, access_reason::kMaxAge,
                                   access_reason::kIdleTimeout, access_reason::kHalfCloseTimeout}) {
    EXPECT_FALSE(PeerForbids(Reset(EndCodeOf(reason)))) << reason;
  }
  EXPECT_FALSE(PeerForbids(Reset(0)));
  EXPECT_FALSE(PeerForbids(absl::OkStatus()));
}

TEST(EndCodeTest, AResetOfTheConnectionItselfHasNoReason) {
  EXPECT_EQ(EndCodeOf(access_reason::kResetByUpstream), 0u);
  EXPECT_EQ(EndCodeOf("anything"), 0u);
  // NO_ERROR to HTTP_1_1_REQUIRED, and what nobody has defined.
  for (uint32_t code = 0; code <= 0xd; ++code) EXPECT_EQ(PeerReasonOf(Reset(code)), "") << code;
  EXPECT_EQ(PeerReasonOf(Reset(0x62797200)), "");
  EXPECT_EQ(PeerReasonOf(Reset(0x627972ff)), "");
  EXPECT_EQ(PeerReasonOf(absl::UnavailableError("the peer reset the stream")), "");
  EXPECT_EQ(PeerReasonOf(absl::OkStatus()), "");
}

TEST(EndCodeTest, OfDirectMtlsItIsTheAlertThatMeansTheSame) {
  EXPECT_EQ(PeerReasonOf(PeerAlertStatus(SSL_AD_ACCESS_DENIED)), access_reason::kPolicyChanged);
  EXPECT_EQ(PeerReasonOf(PeerAlertStatus(SSL_AD_UNKNOWN_CA)), end_reason::kTrustRemoved);
  EXPECT_EQ(PeerReasonOf(PeerAlertStatus(SSL_AD_CERTIFICATE_REVOKED)),
            end_reason::kCertificateRevoked);
  EXPECT_EQ(PeerReasonOf(PeerAlertStatus(SSL_AD_INTERNAL_ERROR)), "");
}

TEST(EndCodeTest, OfATunnelItSaysWhatThePeerFoundFaultWith) {
  EXPECT_EQ(PeerReasonOf(Goaway(0xb)), tunnel_reason::kTunnelFlood);
  EXPECT_EQ(PeerReasonOf(Goaway(0x1)), tunnel_reason::kTunnelProtocol);
  EXPECT_EQ(PeerReasonOf(Goaway(0x9)), tunnel_reason::kTunnelProtocol);
  // INTERNAL_ERROR and SETTINGS_TIMEOUT are no word about this end.
  EXPECT_EQ(PeerReasonOf(Goaway(0x2)), "");
  EXPECT_EQ(PeerReasonOf(Goaway(0x4)), "");
}

}  // namespace
}  // namespace byrnie
