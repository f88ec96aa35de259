#include "deploy/redirect/ruleset.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string ListingOf(const RedirectOptions& options) {
  absl::StatusOr<Ruleset> ruleset = Ruleset::Create(options);
  EXPECT_TRUE(ruleset.ok()) << ruleset.status();
  return ruleset.ok() ? ruleset->listing() : "";
}

std::string ErrorOf(const RedirectOptions& options) {
  absl::StatusOr<Ruleset> ruleset = Ruleset::Create(options);
  EXPECT_EQ(ruleset.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(ruleset.status().message());
}

TEST(RulesetTest, RedirectsBothDirectionsByDefault) {
  const std::string listing = ListingOf({});
  EXPECT_THAT(listing, StartsWith("table inet byrnie {\n"));
  EXPECT_THAT(listing,
              HasSubstr("\t\tfib daddr type local meta l4proto tcp dnat ip to ip daddr:15006\n"
                        "\t\tfib daddr type local meta l4proto tcp dnat ip6 to ip6 daddr:15006\n"));
  EXPECT_THAT(listing,
              HasSubstr("\tchain outbound_take {\n"
                        "\t\tfib saddr type local meta l4proto tcp dnat ip to ip saddr:15001\n"
                        "\t\tfib saddr type local meta l4proto tcp dnat ip6 to ip6 saddr:15001\n"
                        "\t}\n"));
}

TEST(RulesetTest, TakesOutboundToTheSameAddressesInBothModes) {
  RedirectOptions options;
  options.mode = "tproxy";
  options.outbound_port = 16001;
  EXPECT_THAT(ListingOf(options),
              HasSubstr("\tchain outbound_take {\n"
                        "\t\tfib saddr type local meta l4proto tcp dnat ip to ip saddr:16001\n"
                        "\t\tfib saddr type local meta l4proto tcp dnat ip6 to ip6 saddr:16001\n"
                        "\t}\n"));
}

TEST(RulesetTest, LeavesTheProxysTrafficAndPortsAlone) {
  const std::string listing = ListingOf({});
  EXPECT_THAT(listing, HasSubstr("meta skuid 1337 return\n"));
  EXPECT_THAT(listing, HasSubstr("tcp dport { 15008, 15020, 15021 } return\n"));
  EXPECT_THAT(listing, HasSubstr("iifname \"lo\" return\n"));
}

TEST(RulesetTest, TellsTheProxyThatItIsThereAndNotClosed) {
  const std::string listing = ListingOf({});
  EXPECT_THAT(listing, HasSubstr("\t\tmeta skuid 1337 fib daddr type local tcp dport 15022 dnat ip "
                                 "to ip daddr:15021\n\t\tmeta skuid 1337 return\n"));
  EXPECT_THAT(Ruleset::Create({})->closed_listing(),
              HasSubstr("\t\ttype filter hook output priority -150; policy accept;\n"
                        "\t\tfib daddr type local tcp dport 15022 reject with tcp reset\n"));
}

TEST(RulesetTest, TracksWhatTheProxyOpensApartFromTheRestInBothModes) {
  for (const char* mode : {"redirect", "tproxy"}) {
    RedirectOptions options;
    options.mode = mode;
    EXPECT_THAT(
        ListingOf(options),
        HasSubstr("\tchain apart {\n"
                  "\t\ttype filter hook output priority -300; policy accept;\n"
                  "\t\tmeta l4proto tcp meta priority 0:4 ct original zone set 15001\n\t}\n"));
  }
}

TEST(RulesetTest, IsOtherwiseTheSameWithoutZones) {
  const Ruleset with = *Ruleset::Create({});
  const Ruleset without = with.WithoutZones();
  EXPECT_THAT(without.listing(), Not(HasSubstr("zone")));
  EXPECT_THAT(without.HoldCommands(), Not(HasSubstr("zone")));
  const std::string apart =
      "\tchain apart {\n"
      "\t\ttype filter hook output priority -300; policy accept;\n"
      "\t\tmeta l4proto tcp meta priority 0:4 ct original zone set 15001\n\t}\n\n";
  EXPECT_EQ(absl::StrReplaceAll(with.listing(), {{apart, ""}}), without.listing());
  EXPECT_EQ(without.WithoutZones().listing(), without.listing());
  EXPECT_THAT(Ruleset::ZoneCommands(), HasSubstr("ct original zone set 15001\n"));
}

TEST(RulesetTest, KeepsBackWhatNobodyTranslatesBack) {
  RedirectOptions options;
  options.outbound_port = 16001;
  options.inbound_port = 16006;
  EXPECT_THAT(ListingOf(options), HasSubstr("tcp sport { 16001, 16006 } ct state new"
                                            " tcp flags != syn / syn,ack drop\n"));
  options.mode = "tproxy";
  EXPECT_THAT(ListingOf(options),
              HasSubstr("tcp sport 16001 ct state new tcp flags != syn / syn,ack drop\n"));
}

// Before the rule that lets out whatever the proxy opens.
TEST(RulesetTest, EndsWhatTheProxyOpensAndIsLedBackToIt) {
  RedirectOptions options;
  EXPECT_THAT(ListingOf(options),
              HasSubstr("\t\tmeta skuid 1337 ct direction original ct status dnat tcp dport "
                        "{ 15001, 15006 } reject with tcp reset\n"
                        "\t\tmeta skuid 1337 ct mark set"));
  options.mode = "tproxy";
  EXPECT_THAT(ListingOf(options),
              HasSubstr("\t\tmeta skuid 1337 ct direction original ct status dnat tcp dport 15001 "
                        "reject with tcp reset\n"
                        "\t\tmeta skuid 1337 ct mark set"));
}

TEST(RulesetTest, LeavesAnswersInTunnelsThatConnectionTrackingHasLost) {
  RedirectOptions options;
  EXPECT_THAT(ListingOf(options),
              HasSubstr("\t\ttcp sport 15008 tcp flags != syn / syn,ack return\n"
                        "\t\tgoto inbound_take\n"));
  options.mode = "tproxy";
  EXPECT_THAT(ListingOf(options), Not(HasSubstr("tcp sport 15008")));
}

TEST(RulesetTest, LetsTheKernelsOwnResetsOut) {
  EXPECT_THAT(ListingOf({}), HasSubstr("\tchain outbound_refuse {\n"
                                       "\t\tct state invalid meta skuid != 1337 drop\n"
                                       "\t\tct state invalid tcp flags & rst == rst accept\n"
                                       "\t\tct state invalid drop\n"));
}

TEST(RulesetTest, ResetsWhatEscapedTheRedirect) {
  EXPECT_THAT(ListingOf({}),
              HasSubstr("meta l4proto tcp meta skuid != 1337 reject with tcp reset\n"));
}

TEST(RulesetTest, AcceptsFromOutsideWhatWasRedirectedOrIsAnAnswer) {
  EXPECT_THAT(ListingOf({}), HasSubstr("\t\tct state invalid drop\n"
                                       "\t\ttcp dport 15006 ct status dnat accept\n"
                                       "\t\tct direction reply goto inbound_answer\n"
                                       "\t\tgoto inbound_refuse\n"));
  EXPECT_THAT(ListingOf({}), HasSubstr("\tchain inbound_answer {\n"
                                       "\t\tgoto inbound_refuse_answer\n"
                                       "\t}\n"));
  EXPECT_THAT(ListingOf({}), HasSubstr("\tchain inbound_refuse_answer {\n"
                                       "\t\tmeta skuid != 1337 goto inbound_refuse\n"
                                       "\t\tct mark & 0x00010000 == 0x00010000 accept\n"
                                       "\t\tgoto inbound_refuse\n"
                                       "\t}\n"));
}

TEST(RulesetTest, LetsNobodyButTheProxyAnswerFromItsPorts) {
  RedirectOptions options;
  options.outbound_port = 16001;
  options.exclude_inbound_ports = {"22"};
  const std::string listing = ListingOf(options);
  const std::string ports = "{ 15006, 15008, 15020, 15021, 16001 }";
  EXPECT_THAT(listing, HasSubstr(absl::StrCat("\t\tiifname \"lo\" accept\n\t\ttcp dport ", ports,
                                              " jump inbound_own\n")));
  EXPECT_THAT(listing, HasSubstr(absl::StrCat("\t\tmeta skuid 1337 ct mark set ct mark | 0x00010000"
                                              " accept\n\t\ttcp sport ",
                                              ports, " goto outbound_own\n")));
  EXPECT_THAT(listing, HasSubstr("\t\ttcp sport 22 ct direction reply accept\n"));
}

TEST(RulesetTest, OpensExcludedInboundPortsInBothInboundChains) {
  RedirectOptions options;
  options.exclude_inbound_ports = {"22", "9100", "22"};
  const std::string listing = ListingOf(options);
  EXPECT_THAT(listing, HasSubstr("tcp dport { 22, 9100, 15008, 15020, 15021 } return\n"));
  EXPECT_THAT(listing, HasSubstr("tcp dport { 22, 9100, 15008, 15020, 15021 } accept\n"));
}

TEST(RulesetTest, LetsAnswersFromOpenPortsOutThatConnectionTrackingDoesNotKnow) {
  RedirectOptions options;
  options.exclude_inbound_ports = {"22"};
  const std::string listing = ListingOf(options);
  EXPECT_THAT(listing, HasSubstr("\t\ttcp sport 22 tcp flags != syn / syn,ack return\n"
                                 "\t\tgoto outbound_take\n"));
  EXPECT_THAT(listing,
              HasSubstr("\t\ttcp sport 22 ct direction reply accept\n"
                        "\t\ttcp sport 22 tcp flags != syn / syn,ack ct state invalid accept\n"
                        "\t\ttcp sport 22 tcp flags != syn / syn,ack ct state new"
                        " ct mark set ct mark | 0x40000000 accept\n"
                        "\t\ttcp sport 22 tcp flags != syn / syn,ack"
                        " ct mark & 0x40000000 == 0x40000000 accept\n"
                        "\t\tgoto outbound_refuse\n"));
}

TEST(RulesetTest, LetsAnswersInThatConnectionTrackingDoesNotKnow) {
  RedirectOptions options;
  options.exclude_outbound_ports = {"443"};
  options.exclude_outbound_cidrs = {"10.0.0.0/8"};
  options.include_outbound_cidrs = {"192.0.2.0/24"};
  const std::string listing = ListingOf(options);
  EXPECT_THAT(listing, HasSubstr("\t\ttcp flags != syn / syn,ack goto inbound_late\n"
                                 "\t\tgoto inbound_take\n"));
  EXPECT_THAT(listing, HasSubstr("\tchain inbound_late {\n"
                                 "\t\ttcp sport 443 accept\n"
                                 "\t\tip saddr 10.0.0.0/8 accept\n"
                                 "\t\tip saddr 192.0.2.0/24 goto inbound_take\n"
                                 "\t\taccept\n\t}\n"));
  EXPECT_THAT(listing, HasSubstr("\t\tct state invalid meta skuid != 1337"
                                 " tcp flags != syn / syn,ack goto inbound_invalid\n"
                                 "\t\tct state invalid drop\n"));
  EXPECT_THAT(listing, HasSubstr("\t\tct direction reply goto inbound_answer\n"
                                 "\t\tgoto inbound_forgotten\n"));
  EXPECT_THAT(listing,
              HasSubstr("\tchain inbound_forgotten {\n"
                        "\t\ttcp dport { 15001, 15006, 15008, 15020, 15021 } goto inbound_refuse\n"
                        "\t\ttcp flags syn / syn,ack goto inbound_refuse\n"
                        "\t\tct state new ct mark set ct mark | 0x40000000 goto inbound_answer\n"
                        "\t\tct mark & 0x40000000 == 0x40000000 goto inbound_answer\n"
                        "\t\tgoto inbound_refuse\n\t}\n"));
  EXPECT_THAT(listing, HasSubstr("\tchain inbound_invalid {\n"
                                 "\t\ttcp sport 443 accept\n"
                                 "\t\tip saddr 10.0.0.0/8 accept\n"
                                 "\t\tip saddr 192.0.2.0/24 goto inbound_ignore\n"
                                 "\t\taccept\n\t}\n"));
  // The socket that a packet is for is found without that.
  options.mode = "tproxy";
  EXPECT_THAT(ListingOf(options), Not(HasSubstr("inbound_late")));
}

TEST(RulesetTest, TakesWhatItDoesNotKnowWhereNothingIsLetPast) {
  for (const char* chain : {"inbound_late", "inbound_forgotten", "inbound_invalid", "0x40000000"}) {
    EXPECT_THAT(ListingOf({}), Not(HasSubstr(chain)));
  }
}

TEST(RulesetTest, ListsExcludedDestinationsAsNftSpellsThem) {
  RedirectOptions options;
  options.exclude_outbound_cidrs = {"10.0.0.0/8", "192.0.2.7/32", "FD00:0::/8", "fd77::0001"};
  const std::string listing = ListingOf(options);
  for (const char* match : {"ip daddr { 10.0.0.0/8, 192.0.2.7 } ", "ip6 daddr fd00::/8 "}) {
    EXPECT_THAT(listing, HasSubstr(std::string("\t\t") + match + "return\n"));
    EXPECT_THAT(listing, HasSubstr(std::string("\t\t") + match + "accept\n"));
    const std::string answers = absl::StrReplaceAll(match, {{"daddr", "saddr"}});
    EXPECT_THAT(listing, HasSubstr(std::string("\t\t") + answers + "accept\n"));
  }
}

TEST(RulesetTest, RefusesDestinationsThatAreNoNetworks) {
  for (const char* cidr :
       {"", "example.org", "10.0.0.0/", "10.0.0.0/0", "10.0.0.0/-1", "10.0.0.0/33", "fd00::/129",
        "10.0.0.0/8/8", "10.0.0.1/8", "fd00::1/64", "10.0.0.0/8; flush ruleset"}) {
    RedirectOptions options;
    options.exclude_outbound_cidrs = {cidr};
    EXPECT_THAT(ErrorOf(options), HasSubstr("--exclude_outbound_cidrs")) << cidr;
  }
}

TEST(RulesetTest, RefusesMappedNetworksAndNamesTheIpv4Ones) {
  const std::pair<const char*, const char*> cases[] = {{"::ffff:10.0.0.0/104", "write 10.0.0.0/8,"},
                                                       {"::ffff:a00:1", "write 10.0.0.1/32,"},
                                                       {"::ffff:0:0/96", "write 0.0.0.0/0,"}};
  for (const auto& [cidr, remedy] : cases) {
    RedirectOptions include;
    include.include_outbound_cidrs = {cidr};
    EXPECT_THAT(ErrorOf(include), HasSubstr(remedy));
    RedirectOptions exclude;
    exclude.exclude_outbound_cidrs = {cidr};
    EXPECT_THAT(ErrorOf(exclude), HasSubstr(remedy));
  }
}

TEST(RulesetTest, TakesEverythingWhereAnIncludeListSaysSo) {
  const std::string everything = ListingOf({});
  RedirectOptions ports;
  ports.include_inbound_ports = {"*"};
  ports.include_outbound_ports = {"*"};
  ports.include_outbound_cidrs = {"10.0.0.0/8"};
  EXPECT_EQ(ListingOf(ports), everything);
  RedirectOptions cidrs;
  cidrs.include_outbound_ports = {"443"};
  cidrs.include_outbound_cidrs = {"*"};
  EXPECT_EQ(ListingOf(cidrs), everything);
  // What is excluded wins.
  cidrs.exclude_outbound_ports = {"80"};
  cidrs.exclude_outbound_cidrs = {"10.0.0.0/8"};
  EXPECT_THAT(ListingOf(cidrs), HasSubstr("\t\ttcp dport 80 return\n"
                                          "\t\tip daddr 10.0.0.0/8 return\n"
                                          "\t\tgoto outbound_take\n"));
}

TEST(RulesetTest, TakesAWholeFamily) {
  RedirectOptions options;
  options.include_outbound_cidrs = {"0.0.0.0/0"};
  const std::string listing = ListingOf(options);
  for (const char* rule :
       {"meta nfproto ipv4 goto outbound_take", "meta nfproto ipv4 goto outbound_refuse",
        "meta nfproto ipv4 goto inbound_refuse_answer"}) {
    EXPECT_THAT(listing, HasSubstr(absl::StrCat("\t\t", rule, "\n")));
  }
  options.include_outbound_cidrs = {"0.0.0.0/0", "::/0"};
  EXPECT_THAT(ListingOf(options), HasSubstr("\t\tmeta nfproto ipv6 goto outbound_take\n"));
}

TEST(RulesetTest, RefusesPortsThatWouldBreakTheProxy) {
  RedirectOptions zero;
  zero.outbound_port = 0;
  EXPECT_THAT(ErrorOf(zero), HasSubstr("--outbound_port"));
  RedirectOptions same;
  same.inbound_port = same.outbound_port;
  EXPECT_THAT(ErrorOf(same), HasSubstr("both 15001"));
  RedirectOptions own;
  own.inbound_port = 15008;
  EXPECT_THAT(ErrorOf(own), HasSubstr("15008"));
  own.inbound_port = 15022;
  EXPECT_THAT(ErrorOf(own), HasSubstr("port 15022 is the proxy's own"));
  RedirectOptions open;
  open.exclude_inbound_ports = {"15006"};
  EXPECT_THAT(ErrorOf(open), HasSubstr("--exclude_inbound_ports: 15006"));
}

TEST(RulesetTest, RefusesToExemptRootOrNobody) {
  RedirectOptions options;
  options.proxy_uid = 0;
  EXPECT_THAT(ErrorOf(options), HasSubstr("--proxy_uid"));
  options.proxy_uid = 4294967295;
  EXPECT_THAT(ErrorOf(options), HasSubstr("--proxy_uid=4294967295 is the kernel's word for no user;"
                                          " give the uid"));
}

TEST(RulesetTest, DropsEverythingWhenTheGuardsAreEmptied) {
  const std::string listing = ListingOf({});
  EXPECT_THAT(listing, HasSubstr("type filter hook input priority 0; policy drop;\n"));
  EXPECT_THAT(listing, HasSubstr("type filter hook output priority 0; policy drop;\n"));
}

TEST(RulesetTest, TakesOnlyWhatIsIncluded) {
  RedirectOptions options;
  options.include_inbound_ports = {"8080"};
  options.include_outbound_ports = {"80", "8000-8100"};
  options.include_outbound_cidrs = {"10.0.0.0/8"};
  options.include_interfaces = {"net1", "eth0"};
  const std::string listing = ListingOf(options);
  for (const char* rule :
       {"fib daddr type local tcp dport 8080 dnat ip to ip daddr:15006",
        "iifname \"eth0\" tcp dport 8080 goto inbound_forgotten",
        "iifname \"net1\" tcp dport { 15001, 15006 } goto inbound_forgotten",
        "oifname \"eth0\" tcp dport { 80, 8000-8100 } goto outbound_take",
        "oifname \"net1\" ip daddr 10.0.0.0/8 goto outbound_take",
        "oifname \"net1\" ip daddr 10.0.0.0/8 goto outbound_refuse",
        "iifname \"net1\" ip saddr 10.0.0.0/8 goto inbound_refuse_answer",
        "iifname \"eth0\" tcp sport { 80, 8000-8100 } goto inbound_refuse_answer",
        "tcp sport != 8080 ct direction reply accept"}) {
    EXPECT_THAT(listing, HasSubstr(absl::StrCat("\t\t", rule, "\n")));
  }
}

TEST(RulesetTest, LetsExcludedUsersPortsAndInterfacesOut) {
  RedirectOptions options;
  options.exclude_uids = {"0", "1000-1999"};
  options.exclude_gids = {"2000"};
  options.exclude_outbound_ports = {"443"};
  options.exclude_interfaces = {"eth1"};
  const std::string listing = ListingOf(options);
  for (const char* match : {"meta skuid 0", "meta skuid 1000-1999", "meta skgid 2000",
                            "tcp dport 443", "oifname \"eth1\""}) {
    EXPECT_THAT(listing, HasSubstr(absl::StrCat("\t\t", match, " return\n")));
  }
  for (const char* match : {"tcp dport 443", "tcp sport 443", "oifname \"eth1\"", "meta skuid 0",
                            "meta skuid 1000-1999", "meta skgid 2000"}) {
    EXPECT_THAT(listing, HasSubstr(absl::StrCat("\t\t", match, " accept\n")));
  }
  EXPECT_THAT(listing, HasSubstr("\t\tiifname \"eth1\" return\n"));
  EXPECT_THAT(listing, HasSubstr("\t\tiifname \"eth1\" accept\n"));
}

TEST(RulesetTest, MarksWhatEachUserIsLetOutWithByItself) {
  RedirectOptions options;
  options.exclude_uids = {"0", "1000-1999"};
  options.exclude_gids = {"2000"};
  const std::string listing = ListingOf(options);
  // What is kept of the mark: the bits of others.
  for (const char* rule :
       {"meta skuid 0 ct mark set ct mark & 0xd30fffff | 0x130c0000 accept",
        "meta skuid 1000-1999 ct mark set ct mark & 0xf96bffff | 0x39680000 accept",
        "meta skgid 2000 ct mark set ct mark & 0xfe87ffff | 0x3e840000 accept"}) {
    EXPECT_THAT(listing, HasSubstr(absl::StrCat("\t\t", rule, "\n")));
  }
  const std::string closed =
      "\t\tct mark & 0x00010000 == 0x00010000 accept\n"
      "\t\tct mark & 0x3ffc0000 == 0x130c0000 accept\n"
      "\t\tct mark & 0x3ffc0000 == 0x39680000 accept\n"
      "\t\tct mark & 0x3ffc0000 == 0x3e840000 accept\n";
  EXPECT_THAT(listing, HasSubstr(closed + "\t\tgoto inbound_refuse\n"));
  EXPECT_THAT(listing, HasSubstr(closed + "\t\ttcp flags & rst == rst accept\n"));
  EXPECT_THAT(ListingOf({}), Not(HasSubstr("0x3ffc0000")));
}

TEST(RulesetTest, RefusesOptionsThatAreNoneOrContradictEachOther) {
  const auto expect = [](void (*set)(RedirectOptions&), const char* flag) {
    RedirectOptions options;
    set(options);
    EXPECT_THAT(ErrorOf(options), HasSubstr(flag));
  };
  expect([](RedirectOptions& o) { o.mode = "iptables"; }, "--mode=iptables: not known; give ");
  expect([](RedirectOptions& o) { o.include_inbound_ports = {"0"}; }, "--include_inbound_ports");
  expect([](RedirectOptions& o) { o.exclude_outbound_ports = {"x"}; }, "--exclude_outbound_ports");
  expect(
      [](RedirectOptions& o) {
        o.include_outbound_cidrs = {"*", "10.0.0.0/8"};
      },
      "--include_outbound_cidrs: * is everything; give it alone");
  expect([](RedirectOptions& o) { o.exclude_uids = {"root"}; }, "--exclude_uids");
  expect([](RedirectOptions& o) { o.exclude_uids = {"4294967295"}; },
         "--exclude_uids: \"4294967295\" is neither a number from 0 to 4294967294");
  expect([](RedirectOptions& o) { o.exclude_gids = {"0-4294967295"}; }, "--exclude_gids");
  for (const char* name : {"", "lo", "a name", "eth0\"; drop", "sixteen-letters-"}) {
    RedirectOptions options;
    options.exclude_interfaces = {name};
    EXPECT_THAT(ErrorOf(options), HasSubstr("--exclude_interfaces")) << name;
  }
  expect(
      [](RedirectOptions& o) {
        o.include_outbound_ports = {"80-90"};
        o.exclude_outbound_ports = {"85"};
      },
      "--include_outbound_ports and --exclude_outbound_ports both name 85");
  expect(
      [](RedirectOptions& o) {
        o.include_interfaces = {"eth0"};
        o.exclude_interfaces = {"eth0"};
      },
      "both name eth0");
  expect(
      [](RedirectOptions& o) {
        o.include_outbound_cidrs = {"10.0.0.0/8"};
        o.exclude_outbound_cidrs = {"10.0.0.0/8"};
      },
      "both name 10.0.0.0/8");
}

TEST(RulesetTest, TakesInboundConnectionsUntranslatedInTproxyMode) {
  RedirectOptions options;
  options.mode = "tproxy";
  const std::string listing = ListingOf(options);
  EXPECT_THAT(listing, HasSubstr("\t\ttcp dport 15006 return\n"
                                 "\t\tfib daddr type local meta l4proto tcp tproxy to :15006 "
                                 "meta mark set meta mark | 0x00020000 accept\n"));
  EXPECT_THAT(listing,
              HasSubstr("\t\toifname != \"lo\" meta mark & 0x00020000 == 0x00020000 drop\n"));
  EXPECT_THAT(listing, Not(HasSubstr("ct status dnat accept")));
  EXPECT_THAT(ListingOf({}), Not(HasSubstr("0x00020000")));
}

TEST(RulesetTest, KeepsAClientsConnectionsApartFromThoseOfItsAddressThatIsBorrowed) {
  RedirectOptions options;
  options.mode = "tproxy";
  const std::string listing = ListingOf(options);
  EXPECT_THAT(listing,
              HasSubstr("\t\tiifname \"lo\" accept\n"
                        "\t\tct direction original ct mark & 0x00020000 == 0x00020000 drop\n"));
  const std::string borrowed =
      "ct direction original meta skuid 1337 fib saddr type != local fib daddr type local ";
  EXPECT_THAT(listing, HasSubstr(absl::StrCat(
                           "\t\tct state new ", borrowed, "ct mark set ct mark | 0x00020000\n",
                           "\t\tct mark & 0x00020000 != 0x00020000 ", borrowed, "drop\n")));
}

TEST(RulesetTest, HoldsTheSameRulesInATableOfItsOwn) {
  absl::StatusOr<Ruleset> ruleset = Ruleset::Create({});
  ASSERT_TRUE(ruleset.ok());
  const std::string held = ruleset->HoldCommands();
  EXPECT_THAT(held, StartsWith("table inet byrnie_held {\n\tflags owner;\n"));
  EXPECT_EQ(held.substr(held.find("\tchain")),
            ruleset->listing().substr(ruleset->listing().find("\tchain")));
}

TEST(RulesetTest, LeadsTheQuestionForReadinessToThePortOfTheMetricsWhereItIsClosed) {
  absl::StatusOr<Ruleset> ruleset = Ruleset::Create({});
  ASSERT_TRUE(ruleset.ok());
  const std::string& closed = ruleset->closed_listing();
  for (const char* hook : {"prerouting", "output"}) {
    EXPECT_THAT(closed,
                HasSubstr(absl::StrCat(
                    "\t\ttype nat hook ", hook, " priority -100; policy accept;\n",
                    "\t\tfib daddr type local tcp dport 15021 dnat ip to ip daddr:15020\n"
                    "\t\tfib daddr type local tcp dport 15021 dnat ip6 to ip6 daddr:15020\n")));
  }
  EXPECT_THAT(ruleset->listing(), Not(HasSubstr("dport 15021 dnat")));
}

TEST(RulesetTest, ReplacesTheTableInOneBuffer) {
  absl::StatusOr<Ruleset> ruleset = Ruleset::Create({});
  ASSERT_TRUE(ruleset.ok());
  EXPECT_THAT(ruleset->ApplyCommands(),
              StartsWith("add table inet byrnie\ndelete table inet byrnie\n"
                         "add table inet byrnie_closed\ndelete table inet byrnie_closed\n"
                         "table inet byrnie {\n"));
  EXPECT_TRUE(absl::EndsWith(ruleset->ApplyCommands(), ruleset->listing()));
}

TEST(CompareListingsTest, IsBlindToWhiteSpace) {
  const std::string listing = ListingOf({});
  std::string spaced = listing;
  for (size_t at = 0; (at = spaced.find('\t', at)) != std::string::npos; at += 4)
    spaced.replace(at, 1, "    ");
  EXPECT_EQ(CompareListings(listing, spaced + "\n\n"), "");
}

TEST(CompareListingsTest, NamesTheChainOfAMissingAndAnExtraRule) {
  const std::string listing = ListingOf({});
  std::string changed = listing;
  const std::string rule = "meta skuid 1337 return";
  changed.replace(changed.find(rule), rule.size(), "meta skuid 1000 return");
  EXPECT_EQ(CompareListings(listing, changed),
            "- chain outbound: meta skuid 1337 return\n+ chain outbound: meta skuid 1000 return\n");
}

TEST(CompareListingsTest, SeesRulesInAnotherOrder) {
  EXPECT_EQ(CompareListings("table inet byrnie {\nchain a {\none\ntwo\n}\n}\n",
                            "table inet byrnie {\nchain a {\ntwo\none\n}\n}\n"),
            "- chain a: one\n+ chain a: one\n");
}

TEST(CompareListingsTest, ShowsOneRuleOfThousands) {
  std::string listing = "table inet byrnie {\nchain a {\n";
  for (int i = 0; i < 50000; ++i) absl::StrAppend(&listing, "rule ", i, "\n");
  std::string changed = listing;
  changed.replace(changed.find("rule 25000\n"), 11, "");
  EXPECT_EQ(CompareListings(listing, changed), "- chain a: rule 25000\n");
  EXPECT_EQ(CompareListings(changed, listing), "+ chain a: rule 25000\n");
}

TEST(CompareListingsTest, ShowsAllThatIsBetweenChangesFarApart) {
  std::string listing = "table inet byrnie {\nchain a {\n";
  for (int i = 0; i < 50000; ++i) absl::StrAppend(&listing, "rule ", i, "\n");
  const std::string changed =
      absl::StrReplaceAll(listing, {{"rule 9\n", ""}, {"rule 49999\n", ""}});
  const std::string difference = CompareListings(listing, changed);
  EXPECT_THAT(difference, StartsWith("- chain a: rule 9\n- chain a: rule 10\n"));
  EXPECT_THAT(difference, HasSubstr("- chain a: rule 49999\n+ chain a: rule 10\n"));
}

TEST(CompareListingsTest, ListsTheWholeTableWhenThereIsNone) {
  const std::string difference = CompareListings(ListingOf({}), "");
  EXPECT_THAT(difference, StartsWith("- table inet byrnie {\n"));
  EXPECT_THAT(difference, Not(HasSubstr("+")));
}

}  // namespace
}  // namespace byrnie
