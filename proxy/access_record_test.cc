#include "proxy/access_record.h"

#include <string>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

SocketAddress At(absl::string_view text) { return SocketAddress::Parse(text).value(); }

AccessRecord Minimal() {
  AccessRecord record;
  record.start = absl::FromUnixMillis(1'700'000'000'123);
  record.source = At("10.0.0.1:4000");
  record.original_destination = At("10.0.0.2:80");
  record.reason = std::string(access_reason::kUnknownAddress);
  return record;
}

TEST(AccessRecordTest, WritesEveryFieldInAStableOrder) {
  AccessRecord record = Minimal();
  record.duration = absl::Microseconds(12345);
  record.direction = AccessRecord::Direction::kInbound;
  record.protocol = AccessRecord::Protocol::kHbone;
  record.route = AccessRecord::Route::kLocal;
  record.result = AccessRecord::Result::kAllowed;
  record.reason = "closed";
  record.admitted_by = "allowed-by demo/p";
  record.detail = "fine";
  record.destination = At("[fd77::2]:8080");
  record.service = "demo/web.demo.svc.cluster.local";
  record.peer_identity = SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/client").value();
  record.own_identity = SpiffeId::Parse("spiffe://cluster.local/ns/demo/sa/server").value();
  record.tls_version = "TLSv1.3";
  record.tls_cipher = "TLS_AES_128_GCM_SHA256";
  record.tls_group = "X25519MLKEM768";
  record.bytes_sent = 10;
  record.bytes_received = UINT64_MAX;
  record.attempts = 2;
  record.last_failure = "connect-failed: refused";
  record.lookup_failure = "resolve-timeout";
  record.connection = "1-42";
  record.stages = StageTimes(absl::Seconds(7));
  record.stages.Complete(StageTimes::kDestination, absl::Seconds(7));
  record.stages.Complete(StageTimes::kPolicy, absl::Seconds(7) + absl::Microseconds(1500));
  record.stages.Note(StageTimes::kFirstSent, absl::Seconds(7) + absl::Milliseconds(2));
  EXPECT_EQ(ToJson(record),
            "{\"log\":\"access\",\"event\":\"close\",\"connection\":\"1-42\",\"time\":\"2023-11-"
            "14T22:13:20.123Z\",\"direction\":\"inbound\","
            "\"result\":\"allowed\",\"reason\":\"closed\","
            "\"admitted_by\":\"allowed-by demo/p\",\"detail\":\"fine\","
            "\"source\":\"10.0.0.1:4000\",\"destination\":\"[fd77::2]:8080\","
            "\"original_destination\":\"10.0.0.2:80\","
            "\"service\":\"demo/web.demo.svc.cluster.local\",\"attempts\":2,"
            "\"last_failure\":\"connect-failed: refused\","
            "\"lookup_failure\":\"resolve-timeout\",\"route\":\"local\","
            "\"protocol\":\"hbone\","
            "\"peer_identity\":\"spiffe://cluster.local/ns/demo/sa/client\","
            "\"own_identity\":\"spiffe://cluster.local/ns/demo/sa/server\","
            "\"tls_version\":\"TLSv1.3\",\"tls_cipher\":\"TLS_AES_128_GCM_SHA256\","
            "\"tls_group\":\"X25519MLKEM768\",\"bytes_sent\":10,"
            "\"bytes_received\":18446744073709551615,\"duration_ms\":12.345,\"destination_ms\":0,"
            "\"policy_ms\":1.5,\"first_sent_ms\":2}");
}

TEST(AccessRecordTest, LeavesOutWhatHasNothingToSay) {
  EXPECT_EQ(ToJson(Minimal()),
            "{\"log\":\"access\",\"event\":\"close\",\"time\":\"2023-11-14T22:13:20.123Z\","
            "\"direction\":\"outbound\","
            "\"result\":\"failed\",\"reason\":\"unknown-address\",\"source\":\"10.0.0.1:4000\","
            "\"original_destination\":\"10.0.0.2:80\",\"route\":\"none\","
            "\"protocol\":\"plaintext\",\"bytes_sent\":0,\"bytes_received\":0,\"duration_ms\":0}");
}

TEST(AccessRecordTest, ABeginningHasNoEnd) {
  AccessRecord record = Minimal();
  record.event = AccessRecord::Event::kOpen;
  EXPECT_EQ(ToJson(record),
            "{\"log\":\"access\",\"event\":\"open\",\"time\":\"2023-11-14T22:13:20.123Z\","
            "\"direction\":\"outbound\",\"source\":\"10.0.0.1:4000\","
            "\"original_destination\":\"10.0.0.2:80\",\"route\":\"none\","
            "\"protocol\":\"plaintext\"}");
}

TEST(AccessRecordTest, SaysWhatTheOtherProxySaid) {
  AccessRecord record = Minimal();
  record.reason = std::string(access_reason::kTunnelRefused);
  record.peer_reason = "policy-deny";
  EXPECT_THAT(ToJson(record),
              HasSubstr("\"reason\":\"tunnel-refused\",\"peer_reason\":\"policy-deny\""));
}

TEST(AccessRecordTest, SplitsThePolicyFromTheReason) {
  AccessRecord record = Minimal();
  record.result = AccessRecord::Result::kDenied;
  record.reason = "policy-deny demo/deny-x";
  EXPECT_THAT(ToJson(record),
              HasSubstr("\"reason\":\"policy-deny\",\"policy\":\"demo/deny-x\",\"source\""));
}

TEST(AccessRecordTest, ADetailFromTheNetworkStaysInItsField) {
  AccessRecord record = Minimal();
  record.detail = "bad\"}\n{\"log\":\"access\xFF" + std::string(1000, 'x');
  const std::string line = ToJson(record);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_THAT(line, HasSubstr("\"detail\":\"bad\\\"}\\n{\\\"log\\\":\\\"access\xEF\xBF\xBDxxx"));
  EXPECT_THAT(line, Not(HasSubstr(std::string(257, 'x'))));
}

}  // namespace
}  // namespace byrnie
