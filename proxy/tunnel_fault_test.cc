#include "proxy/tunnel_fault.h"

#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "common/http2/peer_fault.h"
#include "common/identity/spiffe_id.h"
#include "common/tls/session_fault.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/access_record.h"
#include "proxy/reason_set.h"
#include "proxy/testing/data_path.h"
#include "proxy/tunnel_reason.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TunnelFaultTest : public DataPathTest {
 protected:
  TunnelFaultTest() {
    auto mesh = std::make_shared<MeshSnapshot>();
    mesh->own_addresses = std::make_shared<const absl::flat_hash_set<IpAddress>>(
        absl::flat_hash_set<IpAddress>{*IpAddress::Parse("127.0.0.1"), *IpAddress::Parse("fd00::2"),
                                       *IpAddress::Parse("10.0.0.2")});
    context_.mesh = std::move(mesh);
    peer_.peer.id = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/server");
    peer_.own_id = *SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/client");
  }
  void Report(const absl::Status& end) {
    ReportOutboundFault(context_, *SocketAddress::Parse("10.0.0.3:15008"), peer_, end);
  }

  PeerInfo peer_{{*SpiffeId::Parse("spiffe://td/a"), absl::InfiniteFuture()},
                 {},
                 {},
                 0,
                 absl::InfiniteFuture(),
                 {}};
};

TEST_F(TunnelFaultTest, AFloodIsLoggedAndCountedAsOneRefusedConnection) {
  Report(PeerFaultError(PeerFault::kFlood, "too many frames that carry nothing"));
  EXPECT_THAT(
      TakeLog(),
      AllOf(HasSubstr("\"direction\":\"outbound\",\"result\":\"denied\""),
            HasSubstr("\"reason\":\"tunnel-flood\""),
            HasSubstr("too many frames that carry nothing; update the proxy at destination"),
            HasSubstr("\"source\":\"10.0.0.2:0\",\"destination\":\"10.0.0.3:15008\""),
            HasSubstr("\"peer_identity\":\"spiffe://cluster.local/ns/demo/sa/server\"")));
  EXPECT_EQ(metrics_.Refusals()[ReasonIndex(tunnel_reason::kTunnelFlood)], 1u);
  EXPECT_EQ(metrics_.direction(AccessRecord::Direction::kOutbound).opened->value(), 1u);
}

TEST_F(TunnelFaultTest, ABrokenRuleHasItsOwnReason) {
  Report(PeerFaultError(PeerFault::kProtocol, "PROTOCOL_ERROR"));
  EXPECT_THAT(TakeLog(), HasSubstr("\"reason\":\"tunnel-protocol\""));
}

TEST_F(TunnelFaultTest, WhatWasDoneToItsTlsIsCalledTheSame) {
  Report(
      WithSessionFault(absl::UnavailableError("too many TLS key updates"), SessionFault::kFlood));
  EXPECT_THAT(TakeLog(), AllOf(HasSubstr("\"reason\":\"tunnel-flood\""),
                               HasSubstr("too many TLS key updates")));
  Report(WithSessionFault(absl::DataLossError("TLS session broken"), SessionFault::kProtocol));
  EXPECT_THAT(TakeLog(), HasSubstr("\"reason\":\"tunnel-protocol\""));
}

TEST_F(TunnelFaultTest, AnyOtherEndIsNobodysFault) {
  Report(WithSessionFault(absl::DataLossError("truncated"), SessionFault::kTruncated));
  Report(absl::UnavailableError("the tunnel was closed by the peer"));
  Report(absl::OkStatus());
  EXPECT_THAT(TakeLog(), IsEmpty());
  EXPECT_EQ(metrics_.direction(AccessRecord::Direction::kOutbound).opened->value(), 0u);
}

}  // namespace
}  // namespace byrnie
