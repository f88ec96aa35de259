#include "ctl/pod_checks.h"

#include <map>
#include <string>

#include "absl/strings/match.h"
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
  error_ = absl::UnavailableError("Connection refused");
  Run();
  EXPECT_EQ(answer_.first_failed(), "source-proxy");
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
  Probe(R"({"source":"10.0.0.1:4711","reason":"tls-failed","result":"failed","detail":"expired"})",
        "");
  EXPECT_EQ(answer_.first_failed(), "pod");
  EXPECT_THAT(answer_.verdict(), HasSubstr("tls-failed (expired)"));
}

TEST_F(PodChecksTest, PacketsThatAreDropped) {
  Probe("", R"({"source":"10.0.0.1:4711","state":"connecting"})");
  EXPECT_EQ(answer_.first_failed(), "network");
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
