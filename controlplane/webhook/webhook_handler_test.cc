#include "controlplane/webhook/webhook_handler.h"

#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "common/base/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kReview[] =
    R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","kind":)"
    R"({"group":"","version":"v1","kind":"Pod"},"namespace":"demo","operation":"CREATE","object":)"
    R"({"metadata":{"name":"web"},"spec":{"containers":[{"name":"app"}]}}}})";
constexpr char kOnTheHost[] =
    R"({"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-2","kind":)"
    R"({"group":"","version":"v1","kind":"Pod"},"namespace":"demo","operation":"CREATE","object":)"
    R"({"metadata":{"name":"node"},"spec":{"hostNetwork":true,"containers":[{"name":"app"}]}}}})";

class WebhookHandlerTest : public ::testing::Test {
 protected:
  ~WebhookHandlerTest() override { fclose(file_); }

  HttpResponse Ask(const std::string& body, const std::string& type = "application/json") {
    HttpRequest request;
    request.method = "POST";
    request.path = "/inject";
    request.content_type = type;
    request.body = body;
    return handler_.Inject(request, clock_.MonotonicNow());
  }
  std::string Metrics() { return metrics_.RenderPrometheusText(); }
  std::string Log() {
    std::string text(1 << 20, '\0');
    const ssize_t size = pread(fileno(file_), &text[0], text.size(), 0);
    text.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return text;
  }

  FILE* const file_ = tmpfile();
  FakeClock clock_;
  Logger logger_{fileno(file_), Logger::Format::kJson, LogLevel::kInfo};
  MetricRegistry metrics_;
  WebhookHandler handler_{std::make_shared<const InjectorConfig>(), &clock_, &logger_, &metrics_};
};

TEST_F(WebhookHandlerTest, AnswersAReviewWithAReview) {
  const HttpResponse response = Ask(kReview, "application/json; charset=utf-8");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_THAT(response.body,
              AllOf(HasSubstr(R"("uid":"u-1")"), HasSubstr(R"("patchType":"JSONPatch")")));
  EXPECT_THAT(Metrics(), AllOf(HasSubstr("webhook_requests_total{outcome=\"injected\"} 1\n"),
                               HasSubstr("byrnie_controlplane_webhook_seconds_count 1\n")));
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"pod\":\"web\""), HasSubstr("\"namespace\":\"demo\"")));
}

TEST_F(WebhookHandlerTest, TakesNothingButReviewsInJson) {
  for (const char* type : {"", "text/plain", "application/jsonx", "application/yaml"}) {
    EXPECT_EQ(Ask(kReview, type).status, 415) << type;
  }
  EXPECT_EQ(Ask("{}").status, 400);
  EXPECT_EQ(Ask("").status, 400);
  EXPECT_THAT(Metrics(), AllOf(HasSubstr("webhook_requests_total{outcome=\"invalid\"} 6\n"),
                               HasSubstr("webhook_requests_total{outcome=\"injected\"} 0\n")));
}

TEST_F(WebhookHandlerTest, NeitherTheAnswerNorTheLogRepeatsWhatIsLong) {
  const std::string key(1000000, 'k');
  const HttpResponse response = Ask("{\"" + key + "\":1,\"" + key + "\":2}");
  EXPECT_EQ(response.status, 400);
  EXPECT_LT(response.body.size(), 500u);
  EXPECT_LT(Log().size(), 1000u);
}

TEST_F(WebhookHandlerTest, InjectsAsItsLatestConfigurationSays) {
  EXPECT_THAT(Ask(kOnTheHost).body, HasSubstr(R"("allowed":true)"));
  InjectorConfig strict;
  strict.deny_refused = true;
  handler_.SetConfig(std::make_shared<const InjectorConfig>(strict));
  EXPECT_THAT(Ask(kOnTheHost).body, HasSubstr(R"("allowed":false)"));
  EXPECT_THAT(Metrics(), AllOf(HasSubstr("webhook_requests_total{outcome=\"refused\"} 1\n"),
                               HasSubstr("webhook_requests_total{outcome=\"denied\"} 1\n")));
  EXPECT_THAT(Log(), AllOf(HasSubstr("\"level\":\"warning\""), HasSubstr("hostNetwork")));
}

TEST_F(WebhookHandlerTest, NobodyFillsTheLog) {
  for (int i = 0; i < 1000; ++i) {
    Ask(kReview);
    Ask("x");
    handler_.OnHandshakeFailed(SocketAddress(), absl::UnauthenticatedError("no"));
  }
  const std::string log = Log();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), LineBudget::kAtOnce);
  clock_.Advance(absl::Seconds(1));
  handler_.OnHandshakeFailed(SocketAddress(), absl::UnauthenticatedError("no"));
  EXPECT_THAT(Log(), HasSubstr("\"not_logged\":2900"));
  EXPECT_THAT(Metrics(), HasSubstr("webhook_handshakes_failed_total 1001\n"));
}

}  // namespace
}  // namespace byrnie
