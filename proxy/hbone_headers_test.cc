#include "proxy/hbone_headers.h"

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::IsEmpty;
using ::testing::MatchesRegex;

TEST(BaggageTest, SaysWhatIsKnownOfAWorkload) {
  WorkloadNames names;
  names.cluster = "east";
  names.ns = "demo";
  names.kind = "deployment";
  names.name = "web";
  names.service = "web-app";
  names.version = "v1.2";
  const std::string text = MakeBaggage(names);
  EXPECT_EQ(text,
            "k8s.cluster.name=east,k8s.namespace.name=demo,k8s.deployment.name=web,"
            "service.name=web-app,service.version=v1.2");
  EXPECT_EQ(ParseBaggage(text), names);
  EXPECT_THAT(MakeBaggage({}), IsEmpty());
}

TEST(BaggageTest, LeavesOutWhatIsNoName) {
  WorkloadNames names;
  names.ns = "demo,k8s.cluster.name=other";
  names.kind = "daemonset";
  names.name = "web";
  names.service = "a\nb";
  EXPECT_THAT(MakeBaggage(names), IsEmpty());
}

TEST(BaggageTest, ReadsSpacesPropertiesPercentsAndOthersMembers) {
  const WorkloadNames names = ParseBaggage(
      "user=alice ,\tk8s.namespace.name = de%6Do;ttl=3, k8s.cronjob.name=nightly,cloud.region=x");
  EXPECT_EQ(names.ns, "demo");
  EXPECT_EQ(names.kind, "cronjob");
  EXPECT_EQ(names.name, "nightly");
  EXPECT_THAT(names.cluster, IsEmpty());
}

TEST(BaggageTest, OfHostileTextNothingIsLeft) {
  for (const std::string& value :
       {std::string("\xff\xfe"), std::string("a\"b"), std::string("%0a"), std::string("%"),
        std::string("%4"), std::string("%zz"), std::string("a b"), std::string("a\0b", 3),
        std::string(254, 'n'), std::string("<script>")}) {
    EXPECT_EQ(ParseBaggage(absl::StrCat("k8s.namespace.name=", value)), WorkloadNames()) << value;
  }
  for (const char* text : {"", ",,,", "=", "k8s.namespace.name", "=demo", ";;=,;"}) {
    EXPECT_EQ(ParseBaggage(text), WorkloadNames()) << text;
  }
}

TEST(BaggageTest, LooksAtABoundedPart) {
  EXPECT_EQ(ParseBaggage(absl::StrCat("k8s.namespace.name=demo,x=", std::string(5000, 'x'))),
            WorkloadNames());
  std::string many;
  for (int i = 0; i < 64; ++i) absl::StrAppend(&many, "a=b,");
  EXPECT_EQ(ParseBaggage(many + "k8s.namespace.name=demo"), WorkloadNames());
}

TEST(ForwardedTest, CarriesTheSourceAndTheService) {
  const std::string text = MakeForwarded(*SocketAddress::Parse("10.0.0.7:4000"), "web.demo.svc");
  EXPECT_EQ(text, "for=\"10.0.0.7:4000\";host=web.demo.svc");
  const Forwarded forwarded = ParseForwarded(text);
  EXPECT_EQ(forwarded.source->ToString(), "10.0.0.7:4000");
  EXPECT_EQ(forwarded.host, "web.demo.svc");
  const std::string v6 = MakeForwarded(*SocketAddress::Parse("[fd00::7]:4000"), "");
  EXPECT_EQ(v6, "for=\"[fd00::7]:4000\"");
  EXPECT_EQ(ParseForwarded(v6).source->ToString(), "[fd00::7]:4000");
}

TEST(ForwardedTest, SaysNothingOfTheZone) {
  const SocketAddress source(*IpAddress::Parse("fe80::7"), 4000, 2);
  EXPECT_EQ(MakeForwarded(source, ""), "for=\"[fe80::7]:4000\"");
}

TEST(ForwardedTest, QuotesAHostWithAPort) {
  const std::string text = MakeForwarded(*SocketAddress::Parse("10.0.0.7:4000"), "web:80");
  EXPECT_EQ(text, "for=\"10.0.0.7:4000\";host=\"web:80\"");
  EXPECT_EQ(ParseForwarded(text).host, "web:80");
}

TEST(ForwardedTest, ReadsTheFirstElementAlone) {
  const Forwarded forwarded =
      ParseForwarded("proto=https; FOR=\"10.0.0.1:1\" ;by=_x, for=\"10.0.0.2:2\";host=other");
  EXPECT_EQ(forwarded.source->ToString(), "10.0.0.1:1");
  EXPECT_THAT(forwarded.host, IsEmpty());
}

TEST(ForwardedTest, LeavesOutWhatItDoesNotUnderstand) {
  for (const std::string& text :
       {std::string(), std::string("for"), std::string("for="), std::string("for=unknown"),
        std::string("for=\"10.0.0.1:1"), std::string("for=\"10.0.0.1:1\\"),
        std::string("for=\"\xff\""), std::string("host=\"a b\""), std::string("=;=,="),
        std::string("host=\"") + std::string(2000, 'x') + "\""}) {
    const Forwarded forwarded = ParseForwarded(text);
    EXPECT_EQ(forwarded.source, absl::nullopt) << text;
    EXPECT_THAT(forwarded.host, IsEmpty()) << text;
  }
}

TEST(TraceParentTest, IsNewAndNotSampled) {
  std::mt19937_64 random(1);
  const TraceParent first = NewTraceParent(random);
  const TraceParent second = NewTraceParent(random);
  EXPECT_NE(first.trace_id, second.trace_id);
  EXPECT_THAT(MakeTraceParent(first), MatchesRegex("00-[0-9a-f]{32}-[0-9a-f]{16}-00"));
}

TEST(TraceParentTest, ReadsBackWhatItMakes) {
  std::mt19937_64 random(1);
  const TraceParent made = NewTraceParent(random);
  const absl::optional<TraceParent> read = ParseTraceParent(MakeTraceParent(made));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->trace_id, made.trace_id);
  EXPECT_EQ(read->parent_id, made.parent_id);
  EXPECT_EQ(read->flags, 0);
}

TEST(TraceParentTest, TakesOnlyWhatTheStandardAllows) {
  const std::string ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
  EXPECT_EQ(ParseTraceParent("00-" + ids + "-01")->flags, 1);
  EXPECT_TRUE(ParseTraceParent("cc-" + ids + "-01-what.will.be").has_value());
  for (const std::string& text :
       {std::string(), "00-" + ids, "00-" + ids + "-0", "ff-" + ids + "-00", "00-" + ids + "-00-x",
        "cc-" + ids + "-00x", "0X-" + ids + "-00", "00_" + ids + "-00", "00-" + ids + "-0G",
        std::string("00-00000000000000000000000000000000-00f067aa0ba902b7-00"),
        std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-00"),
        std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-00")}) {
    EXPECT_EQ(ParseTraceParent(text).has_value(), false) << text;
  }
}

TEST(ConnectClaimsTest, ReadsTheFirstOfEachHeader) {
  const ConnectClaims claims = ReadClaims({
      {"baggage", "k8s.namespace.name=demo,k8s.pod.name=web-1"},
      {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
      {"forwarded", "for=\"10.0.0.7:4000\""},
      {"baggage", "k8s.namespace.name=other"},
      {"traceparent", "00-11111111111111111111111111111111-00f067aa0ba902b7-01"},
      {"forwarded", "for=\"10.0.0.8:4000\""},
  });
  EXPECT_EQ(claims.workload, "demo/web-1");
  EXPECT_EQ(claims.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(claims.forwarded_for->ToString(), "10.0.0.7:4000");
}

TEST(ConnectClaimsTest, OfNothingOrNonsenseReadsNothing) {
  for (const HeaderList& headers :
       {HeaderList(), HeaderList{{"baggage", "\xff"}, {"traceparent", "00"}, {"forwarded", "="}}}) {
    const ConnectClaims claims = ReadClaims(headers);
    EXPECT_THAT(claims.workload, IsEmpty());
    EXPECT_THAT(claims.trace_id, IsEmpty());
    EXPECT_EQ(claims.forwarded_for, absl::nullopt);
  }
}

}  // namespace
}  // namespace byrnie
