#include "proxy/flags.h"

#include <string>
#include <utility>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class FlagsTest : public ::testing::Test {
 protected:
  FlagsTest() { Set("link_socket", "/run/byrnie/link.sock"); }

  static void Set(const std::string& name, const std::string& value) {
    absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
    ASSERT_NE(flag, nullptr) << name;
    std::string error;
    ASSERT_TRUE(flag->ParseFrom(value, &error)) << name << ": " << error;
  }

 private:
  const absl::FlagSaver saver_;
};

TEST_F(FlagsTest, TheDefaultsNeedASocketOnlyAndAreTheSafeOnes) {
  const absl::StatusOr<ProxyConfig> config = ConfigFromFlags();
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->link_socket, "/run/byrnie/link.sock");
  EXPECT_EQ(config->admin.ToString(), "127.0.0.1:15000");
  EXPECT_TRUE(config->inbound.strict);
  EXPECT_EQ(config->access_log, AccessLog::kClose);
  EXPECT_EQ(config->metrics_series, 2000);
  EXPECT_FALSE(config->passthrough_on_lookup_failure);
  EXPECT_EQ(config->connect_attempts, 3);
  EXPECT_EQ(config->identity_expiry, IdentityExpiry::kDrain);
  EXPECT_GE(config->workers, 1);
  EXPECT_LE(config->workers, 2);
}

TEST_F(FlagsTest, TakesWhatIsSaid) {
  Set("mtls_mode", "permissive");
  Set("mtls_port_modes", "8080=strict");
  Set("probe_ports", "8081,8082");
  Set("probe_sources", "10.0.0.0/8");
  Set("app_probes", R"({"app":{"liveness":{"httpGet":{"port":8080,"httpHeaders":[
      {"name":"Authorization","value":"hidden"}]}}},"b":{"startup":{"tcpSocket":{"port":1}}}})");
  Set("proxy_protocol_ports", "9100");
  Set("outbound_policy", "deny");
  Set("identity_expiry", "strict");
  Set("lookup_failure", "passthrough");
  Set("connect_attempts", "10");
  Set("workers", "7");
  Set("admin", "[::1]:9000");
  Set("resolve_timeout", "250ms");
  Set("log_format", "text");
  Set("access_log", "open_close");
  const absl::StatusOr<ProxyConfig> config = ConfigFromFlags();
  ASSERT_THAT(config, IsOk());
  EXPECT_FALSE(config->inbound.strict);
  EXPECT_TRUE(config->inbound.StrictAt(8080));
  EXPECT_TRUE(config->inbound.IsProbe(*IpAddress::Parse("10.1.1.1"), 8082, {}));
  EXPECT_FALSE(config->inbound.IsProbe(*IpAddress::Parse("10.1.1.1"), 8080, {}));
  EXPECT_TRUE(config->inbound.proxy_protocol_ports.contains(9100));
  ASSERT_EQ(config->app_probes.size(), 2u);
  EXPECT_EQ(config->app_probes[0].Path(), "/app-health/app/liveness");
  for (const auto& [name, value] : config->shown_flags) {
    EXPECT_THAT(value, Not(HasSubstr("hidden"))) << name;
    if (name == "app_probes") {
      EXPECT_EQ(value, "app/liveness,b/startup");
    }
  }
  EXPECT_EQ(config->outbound_policy, OutboundPolicy::kDeny);
  EXPECT_EQ(config->identity_expiry, IdentityExpiry::kStrict);
  EXPECT_TRUE(config->passthrough_on_lookup_failure);
  EXPECT_EQ(config->connect_attempts, 10);
  EXPECT_EQ(config->workers, 7);
  EXPECT_EQ(config->admin.ToString(), "[::1]:9000");
  EXPECT_EQ(config->resolve_timeout, absl::Milliseconds(250));
  EXPECT_EQ(config->log_format, Logger::Format::kText);
  EXPECT_EQ(config->access_log, AccessLog::kOpenClose);
}

TEST_F(FlagsTest, RefusesProbesThatAreNoneOrGoToTheSidecar) {
  for (const auto& [value, what] :
       {std::make_pair(R"({"a":1})", "--app_probes: a: expected an object"),
        std::make_pair(R"({"a":{"startup":{"tcpSocket":{"port":15021}}}})",
                       "--app_probes: a/startup: port 15021 is the sidecar's own")}) {
    Set("app_probes", value);
    EXPECT_THAT(ConfigFromFlags(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)));
  }
}

struct BadValue {
  const char* flag;
  const char* value;
  // What the error says there is instead.
  const char* remedy;
};

class BadValueTest : public FlagsTest, public ::testing::WithParamInterface<BadValue> {};

TEST_P(BadValueTest, NamesTheFlagAndTheRemedy) {
  Set(GetParam().flag, GetParam().value);
  EXPECT_THAT(ConfigFromFlags(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr(std::string("--") + GetParam().flag),
                             HasSubstr(GetParam().value), HasSubstr(GetParam().remedy))));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadValueTest,
    ::testing::Values(BadValue{"link_socket", "", "give the path"},
                      BadValue{"admin", "0.0.0.0:15000", "give for example 127.0.0.1:15000"},
                      BadValue{"admin", "localhost:15000", "give for example 127.0.0.1:15000"},
                      BadValue{"admin", "127.0.0.1", "give for example 127.0.0.1:15000"},
                      BadValue{"admin", "127.0.0.1:0", "give for example 127.0.0.1:15000"},
                      BadValue{"lookup_failure", "allow", "give passthrough or deny"},
                      BadValue{"connect_attempts", "0", "give 1 to 10"},
                      BadValue{"connect_attempts", "11", "give 1 to 10"},
                      BadValue{"outbound_port", "0", "1 to 65535"},
                      BadValue{"inbound_port", "-1", "1 to 65535"},
                      BadValue{"hbone_port", "65536", "1 to 65535"},
                      BadValue{"stats_port", "99999", "1 to 65535"},
                      BadValue{"status_port", "0", "1 to 65535"},
                      BadValue{"status_port", "15020", "give each its own"},
                      BadValue{"hbone_port", "15000", "give each its own"},
                      BadValue{"workers", "-1", "0 to 64"}, BadValue{"workers", "65", "0 to 64"},
                      BadValue{"mtls_mode", "STRICT", "strict or permissive"},
                      BadValue{"mtls_port_modes", "80=off", "--mtls_port_modes: "},
                      BadValue{"probe_ports", "http", "--probe_ports: "},
                      BadValue{"probe_sources", "node", "--probe_sources: "},
                      BadValue{"proxy_protocol_ports", "0", "--proxy_protocol_ports: "},
                      BadValue{"proxy_protocol_ports", "80,15008", "15008 is the sidecar's own"},
                      BadValue{"inbound_interception", "iptables", "tproxy or redirect"},
                      BadValue{"outbound_policy", "", "passthrough or deny"},
                      BadValue{"resolve_timeout", "0", "1ms to 24h"},
                      BadValue{"connect_timeout", "inf", "1ms to 24h"},
                      BadValue{"drain_timeout", "-1s", "1ms to 24h"},
                      BadValue{"identity_expiry", "never", "drain, keep or strict"},
                      BadValue{"log_level", "loud", "error, warning, info, debug"},
                      BadValue{"log_format", "xml", "json or text"},
                      BadValue{"access_log", "true", "close, open_close or off"},
                      BadValue{"metrics_series", "10", "1000 to 100000"}),
    [](const ::testing::TestParamInfo<BadValue>& info) {
      return std::string(info.param.flag) + "_" + std::to_string(info.index);
    });

}  // namespace
}  // namespace byrnie
