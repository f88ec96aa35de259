#include "ctl/pod_checks.h"

#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using byrnie::operator_::v1::ExplainResponse;
using byrnie::operator_::v1::ExplainStep;
using ::testing::HasSubstr;

// An explanation in which the control plane found nothing, and pods whose pages are `pages`.
class PodChecksTest : public ::testing::Test {
 protected:
  PodChecksTest() {
    answer_.set_source_spiffe_id("spiffe://cluster.local/a");
    answer_.set_source_address("10.0.0.1");
    answer_.set_destination_spiffe_id("spiffe://cluster.local/b");
    answer_.set_destination_address("10.0.0.2:8080");
    Add("policy", ExplainStep::OUTCOME_OK);
    Add("pod", ExplainStep::OUTCOME_UNKNOWN);
    pages_["10.0.0.1:15021/healthz/ready"] = HttpPage{200, "ready\n"};
    pages_["10.0.0.2:15021/healthz/ready"] = HttpPage{200, "ready\n"};
  }
  void Add(const std::string& name, ExplainStep::Outcome outcome) {
    ExplainStep* const step = answer_.add_steps();
    step->set_name(name);
    step->set_outcome(outcome);
  }
  void Run() {
    AddPodChecks(
        options_,
        [this](const SocketAddress& address, absl::string_view path) -> absl::StatusOr<HttpPage> {
          const std::string key = address.ToString() + std::string(path);
          for (const auto& [known, page] : pages_) {
            if (absl::StartsWith(key, known)) return page;
          }
          return error_;
        },
        &answer_);
  }
  // A probe from port 4711, of which the source's proxy says this.
  void Probe(const std::string& recorder, const std::string& connections) {
    options_.source_admin = *SocketAddress::Parse("127.0.0.1:15000");
    options_.probe = ProbeResult{absl::OkStatus(), false, 4711};
    pages_["127.0.0.1:15000/recorder"] = HttpPage{200, "{\"connections\":[" + recorder + "]}"};
    pages_["127.0.0.1:15000/connections"] =
        HttpPage{200, "{\"connections\":[" + connections + "]}"};
    Run();
  }

  ExplainResponse answer_;
  PodCheckOptions options_;
  std::map<std::string, absl::StatusOr<HttpPage>> pages_;
  absl::Status error_ = absl::DeadlineExceededError("does not answer");
};

TEST_F(PodChecksTest, ReadyProxiesLeaveWhatNobodyKnows) {
  Run();
  EXPECT_EQ(answer_.first_failed(), "");
  ASSERT_EQ(answer_.steps_size(), 4);
  EXPECT_EQ(answer_.steps(1).name(), "source-proxy");
  EXPECT_EQ(answer_.steps(2).name(), "destination-proxy");
  EXPECT_EQ(answer_.steps(3).outcome(), ExplainStep::OUTCOME_UNKNOWN);
}

TEST_F(PodChecksTest, AProxyThatIsNotReadySaysWhy) {
  pages_["10.0.0.2:15021/healthz/ready"] = HttpPage{503, "no certificate yet\n"};
  Run();
  EXPECT_EQ(answer_.first_failed(), "destination-proxy");
  EXPECT_THAT(answer_.verdict(), HasSubstr("no certificate yet"));
}

TEST_F(PodChecksTest, AProxyThatDoesNotRunIsToldFromOneThatIsNotReached) {
  pages_.clear();
  Run();
  EXPECT_EQ(answer_.first_failed(), "");
  EXPECT_EQ(answer_.steps(1).outcome(), ExplainStep::OUTCOME_UNKNOWN);
  answer_.clear_steps();
  Add("pod", ExplainStep::OUTCOME_UNKNOWN);
  error_ = Refused(absl::UnavailableError("Connection refused"));
  Run();
  EXPECT_EQ(answer_.first_failed(), "source-proxy");
}

TEST_F(PodChecksTest, AMachineWithoutAWayToThePodsSaysNothingOfThem) {
  pages_.clear();
  error_ = absl::UnavailableError("Network is unreachable");
  answer_.clear_steps();
  Add("source-certificate", ExplainStep::OUTCOME_OK);
  Add("policy", ExplainStep::OUTCOME_FAILED);
  Add("pod", ExplainStep::OUTCOME_UNKNOWN);
  Run();
  EXPECT_EQ(answer_.first_failed(), "policy");
  for (const ExplainStep& step : answer_.steps()) {
    if (!absl::EndsWith(step.name(), "-proxy")) continue;
    EXPECT_EQ(step.outcome(), ExplainStep::OUTCOME_UNKNOWN);
    EXPECT_THAT(step.reason(), HasSubstr("is not reached from here"));
  }
}

TEST_F(PodChecksTest, ARefusalFromOutsideDoesNotOutvoteTheAgentOfTheProxy) {
  pages_.clear();
  error_ = Refused(absl::UnavailableError("Connection refused"));
  answer_.clear_steps();
  Add("source-proxy", ExplainStep::OUTCOME_OK);
  Add("destination-proxy", ExplainStep::OUTCOME_OK);
  Add("pod", ExplainStep::OUTCOME_UNKNOWN);
  Run();
  EXPECT_EQ(answer_.first_failed(), "");
  EXPECT_THAT(answer_.verdict(), HasSubstr("to be looked at: source-proxy, destination-proxy"));
  EXPECT_THAT(answer_.steps(0).reason(), HasSubstr("refused"));
}

TEST_F(PodChecksTest, AConnectionThatSomethingElseTookSaysNothing) {
  pages_.clear();
  error_ = absl::AbortedError("ended the connection");
  Run();
  EXPECT_EQ(answer_.first_failed(), "");
}

TEST_F(PodChecksTest, TheDestinationsModeIsItsOwnToSay) {
  options_.destination_admin = *SocketAddress::Parse("10.0.0.2:15000");
  for (const auto& [mode, ports, failed] :
       {std::make_tuple("strict", "", "inbound-mode"), std::make_tuple("permissive", "", ""),
        std::make_tuple("strict", "9090=strict,8080=permissive", ""),
        std::make_tuple("permissive", "8080=strict", "inbound-mode")}) {
    answer_.clear_steps();
    Add("inbound-mode", ExplainStep::OUTCOME_UNKNOWN);
    pages_["10.0.0.2:15000/config_dump"] =
        HttpPage{200, std::string("{\"flags\":{\"mtls_mode\":\"") + mode +
                          "\",\"mtls_port_modes\":\"" + ports + "\"}}"};
    Run();
    EXPECT_EQ(answer_.first_failed(), failed) << mode << " " << ports;
  }
}

TEST_F(PodChecksTest, AProbeThatIsCarriedIsTheProof) {
  Probe("", R"({"source":"10.0.0.1:4711","state":"open","destination":"10.0.0.2:8080"})");
  EXPECT_EQ(answer_.first_failed(), "");
  EXPECT_EQ(answer_.steps(answer_.steps_size() - 1).outcome(), ExplainStep::OUTCOME_OK);
}

TEST_F(PodChecksTest, AnApplicationThatDoesNotListen) {
  Probe(
      R"({"source":"10.0.0.1:9","reason":"closed","result":"allowed"},)"
      R"({"source":"10.0.0.1:4711","reason":"tunnel-refused","peer_reason":"connect-failed","result":"failed"})",
      "");
  EXPECT_EQ(answer_.first_failed(), "application");
}

TEST_F(PodChecksTest, ARefusalIsToldInTheProxysWords) {
  Probe(R"({"source":"10.0.0.1:4711","reason":"overloaded","result":"failed","detail":"flood"})",
        "");
  EXPECT_EQ(answer_.first_failed(), "pod");
  EXPECT_THAT(answer_.verdict(), HasSubstr("overloaded (flood)"));
}

TEST_F(PodChecksTest, WhatTheProxiesSayNamesTheStep) {
  struct Case {
    const char *reason, *peer, *detail, *step;
  };
  for (const Case& c : {
           Case{"tls-failed", "", "the peer sent the alert unknown_ca", "trust"},
           Case{"tls-failed", "", "is of trust domain b, for which there is no trust bundle",
                "trust"},
           Case{"tls-failed", "", "the certificate expired 3s ago", "destination-certificate"},
           Case{"tls-failed", "", "TLS alert: certificate expired", "source-certificate"},
           Case{"tls-failed", "", "peer refused our certificate: certificate revoked",
                "source-certificate"},
           Case{"tls-failed", "", "certificate 07 is revoked", "destination-certificate"},
           Case{"certificate-revoked", "", "", "destination-certificate"},
           Case{"tunnel-refused", "certificate-revoked", "", "source-certificate"},
           Case{"reset-by-upstream", "", "upstream reset: the peer reset the stream: CONNECT_ERROR",
                "application"},
           Case{"reset-by-upstream", "policy-changed", "", "pod"},
           Case{"connect-failed", "",
                "cannot connect to 10.0.0.2:15008: Invalid argument, a blackhole route leads there",
                "network"},
           Case{"tls-failed", "", "something else", "pod"},
           Case{"tunnel-refused", "no-allow-match", "", "policy"},
           Case{"tunnel-refused", "overloaded", "", "pod"},
           Case{"connect-failed", "", "connect to 10.0.0.2:15008: Connection refused",
                "destination-proxy"},
           Case{"connect-failed", "", "No route to host", "network"},
           Case{"peer-silent", "", "", "destination-proxy"},
           Case{"peer-identity-mismatch", "", "", "destination-identity"},
           Case{"resolve-timeout", "", "", "source-agent"},
       }) {
    answer_.clear_steps();
    Add("policy", ExplainStep::OUTCOME_OK);
    Add("pod", ExplainStep::OUTCOME_UNKNOWN);
    Probe(absl::StrCat(R"({"source":"10.0.0.1:4711","result":"failed","reason":")", c.reason,
                       R"(","peer_reason":")", c.peer, R"(","detail":")", c.detail, R"("})"),
          "");
    EXPECT_EQ(answer_.first_failed(), c.step) << c.reason << " " << c.detail;
    int named = 0;
    for (const ExplainStep& step : answer_.steps()) {
      if (step.outcome() != ExplainStep::OUTCOME_FAILED) continue;
      ++named;
      EXPECT_NE(step.remedy(), "");
    }
    EXPECT_EQ(named, 1);
  }
}

TEST_F(PodChecksTest, AProxyThatHangsIsToldFromOneThatIsNotReached) {
  pages_.clear();
  error_ = Taken(absl::DeadlineExceededError("does not answer"));
  Run();
  EXPECT_EQ(answer_.first_failed(), "source-proxy");
  EXPECT_THAT(answer_.verdict(), HasSubstr("takes connections and answers nothing"));
}

TEST_F(PodChecksTest, AProbeWhoseProxyHangsIsNotLookedUp) {
  options_.source_admin = *SocketAddress::Parse("127.0.0.1:15000");
  options_.probe = ProbeResult{absl::OkStatus(), false, 4711};
  error_ = Taken(absl::DeadlineExceededError("does not answer"));
  Run();
  EXPECT_EQ(answer_.first_failed(), "source-proxy");
}

TEST_F(PodChecksTest, WhatAPodSaysTakesThePlaceOfWhatItsAgentSays) {
  answer_.clear_steps();
  Add("source-proxy", ExplainStep::OUTCOME_OK);
  Add("destination-proxy", ExplainStep::OUTCOME_FAILED);
  Add("pod", ExplainStep::OUTCOME_UNKNOWN);
  pages_["10.0.0.1:15021/healthz/ready"] = HttpPage{503, "no policies yet"};
  Run();
  ASSERT_EQ(answer_.steps_size(), 3);
  EXPECT_EQ(answer_.first_failed(), "source-proxy");
  EXPECT_THAT(answer_.verdict(), HasSubstr("no policies yet"));
  // A page that is there does not unsay it: a proxy without its agent is of no use.
  EXPECT_EQ(answer_.steps(1).outcome(), ExplainStep::OUTCOME_FAILED);
}

TEST_F(PodChecksTest, WhatIsNotKnownIsNamed) {
  pages_.erase("10.0.0.2:15021/healthz/ready");
  options_.not_probed = "this runs as uid 1337";
  Run();
  EXPECT_EQ(answer_.first_failed(), "");
  EXPECT_THAT(answer_.verdict(), HasSubstr("not known: destination-proxy, pod"));
  EXPECT_THAT(answer_.steps(answer_.steps_size() - 1).reason(),
              HasSubstr("no connection was tried: this runs as uid 1337"));
}

TEST_F(PodChecksTest, PacketsThatAreDropped) {
  Probe("", R"({"source":"10.0.0.1:4711","state":"connecting"})");
  EXPECT_EQ(answer_.first_failed(), "network");
}

// It has the request, and its kernel has acknowledged it: what is missing is behind it.
TEST_F(PodChecksTest, AnApplicationThatTakesNoConnection) {
  const std::string waits =
      R"({"source":"10.0.0.1:4711","state":"connecting","destination":"10.0.0.2:8080","worker":1})";
  struct Case {
    const char *worker, *address, *state, *step;
    bool unacknowledged;
  };
  for (const Case& c : {Case{"1", "10.0.0.2:15008", "open", "application", false},
                        Case{"1", "10.0.0.2:15008", "bulk", "application", false},
                        Case{"1", "10.0.0.2:15008", "open", "network", true},
                        Case{"1", "10.0.0.2:15008", "silent", "network", false},
                        Case{"1", "10.0.0.2:15008", "connecting", "network", false},
                        Case{"0", "10.0.0.2:15008", "open", "network", false},
                        Case{"1", "10.0.0.3:15008", "open", "network", false}}) {
    answer_.clear_steps();
    Add("policy", ExplainStep::OUTCOME_OK);
    Add("pod", ExplainStep::OUTCOME_UNKNOWN);
    options_.source_admin = *SocketAddress::Parse("127.0.0.1:15000");
    options_.probe = ProbeResult{absl::OkStatus(), false, 4711, c.unacknowledged};
    pages_["127.0.0.1:15000/recorder"] = HttpPage{200, "{\"connections\":[]}"};
    pages_["127.0.0.1:15000/connections"] = HttpPage{
        200, absl::StrCat("{\"connections\":[", waits, "],\"tunnels\":[{\"worker\":", c.worker,
                          ",\"direction\":\"outbound\",\"address\":\"", c.address,
                          "\",\"state\":\"", c.state, "\"}]}")};
    Run();
    EXPECT_EQ(answer_.first_failed(), c.step) << c.worker << c.address << c.state;
  }
}

TEST_F(PodChecksTest, AConnectionThatTheProxyNeverSaw) {
  Probe(R"({"source":"10.0.0.1:9","reason":"closed","result":"allowed"})", "");
  EXPECT_EQ(answer_.first_failed(), "redirect");
}

TEST_F(PodChecksTest, OneThatWentPastTheMeshIsNoSuccess) {
  Probe(R"({"source":"10.0.0.1:4711","reason":"closed","result":"allowed","route":"passthrough"})",
        "");
  EXPECT_THAT(answer_.verdict(), HasSubstr("past the mesh"));
}

}  // namespace
}  // namespace byrnie
