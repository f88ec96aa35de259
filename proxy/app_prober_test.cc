#include "proxy/app_prober.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/http2/testing/http2_frames.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/probe/app_probes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

// The application: remembers who connected, and says what the test wants.
class FakeApp final : public ProbeDialer, public ByteStream::Observer {
 public:
  explicit FakeApp(EventLoop* loop) : loop_(loop) {}
  ~FakeApp() override {
    if (end_ != nullptr) end_->SetObserver(nullptr);
  }

  std::unique_ptr<Attempt> Dial(const SocketAddress& address, bool tls, absl::Duration,
                                Callback done) override {
    dialled.push_back(absl::StrCat(address.ToString(), tls ? " tls" : ""));
    ++attempts;
    return std::make_unique<Waiting>(this, std::move(done));
  }

  void OnReadable() override {
    uint8_t buffer[4096];
    IoResult result;
    do {
      result = end_->Read(absl::MakeSpan(buffer));
      if (result.status == IoStatus::kEof || result.status == IoStatus::kError) {
        ended = result.status == IoStatus::kEof ? "in order" : "reset";
        return;
      }
      heard.append(reinterpret_cast<const char*>(buffer), result.bytes);
    } while (result.status == IoStatus::kOk);
    if (answers.empty()) return;
    if (!absl::EndsWith(heard, "\r\n\r\n") && !absl::StartsWith(heard, "PRI * ")) return;
    const std::string answer = std::move(answers.front());
    answers.erase(answers.begin());
    end_->Write(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(answer.data()), answer.size()));
  }
  void OnWritable() override {}

  // What becomes of connections; none: nobody answers.
  absl::optional<absl::Status> connects = absl::OkStatus();
  // What one connection after the other is answered.
  std::vector<std::string> answers;
  std::vector<std::string> dialled;
  std::string heard, ended;
  int attempts = 0;  // Under way.

 private:
  class Waiting final : public Attempt {
   public:
    Waiting(FakeApp* app, Callback done)
        : app_(app), done_(std::move(done)), tell_(app->loop_->NewDeferred([this] { Tell(); })) {
      if (app->connects.has_value()) tell_->Schedule();
    }
    ~Waiting() override { --app_->attempts; }

   private:
    void Tell() {
      Callback done = std::move(done_);
      if (!app_->connects->ok()) return done(*app_->connects);
      if (app_->end_ != nullptr) app_->end_->SetObserver(nullptr);
      app_->pair_ = std::make_unique<MemoryStreamPair>(app_->loop_);
      app_->end_ = app_->pair_->TakeB();
      app_->heard.clear();
      app_->end_->SetObserver(app_);
      done(app_->pair_->TakeA());
    }
    FakeApp* const app_;
    Callback done_;
    std::unique_ptr<EventLoop::Deferred> tell_;
  };

  EventLoop* const loop_;
  std::unique_ptr<MemoryStreamPair> pair_;
  std::unique_ptr<ByteStream> end_;
};

class AppProberTest : public ::testing::Test {
 protected:
  AppProberTest() : logger_(STDERR_FILENO, Logger::Format::kText, LogLevel::kError), app_(&loop_) {
    config_.admin = *SocketAddress::Parse("127.0.0.1:15000");
  }

  // One probe: readiness of container app.
  void Probe(absl::string_view action, int timeout = 2) {
    absl::StatusOr<std::vector<AppProbe>> probes = ParseAppProbes(
        absl::StrCat(R"({"app":{"readiness":{)", action, R"(,"timeoutSeconds":)", timeout, "}}}"));
    ASSERT_THAT(probes, IsOk());
    config_.app_probes = *std::move(probes);
    prober_ = std::make_unique<AppProber>(&loop_, &config_, &app_, &metrics_, &logger_);
    routes_ = prober_->Routes();
    ASSERT_EQ(routes_.size(), 1u);
    EXPECT_EQ(routes_[0].path, "/app-health/app/readiness");
  }

  // Somebody who asks; what he is told, "200 why".
  struct Asker {
    std::unique_ptr<PendingHttpAnswer> pending;
    std::string told;
  };
  std::unique_ptr<Asker> Ask(const std::string& local = "10.0.0.7:15021",
                             const std::string& agent = "kube-probe/1.31") {
    loop_.AdvanceTime(pause_);
    auto asker = std::make_unique<Asker>();
    HttpRequest request;
    request.method = "GET";
    request.local = *SocketAddress::Parse(local);
    request.user_agent = agent;
    asker->pending = routes_[0].deferred(request, [here = asker.get()](HttpResponse response) {
      here->told = absl::StrCat(response.status, " ", response.body);
    });
    EXPECT_EQ(asker->told, "") << "told inside the call";
    loop_.RunUntilIdle();
    return asker;
  }
  std::string Told() { return Ask()->told; }
  std::string ToldWhenItSays(const std::string& answer) {
    app_.answers = {answer};
    return Told();
  }
  // Before each question.
  absl::Duration pause_ = absl::Milliseconds(200);
  double Count(const std::string& result) {
    const std::string text = metrics_.RenderPrometheusText();
    const std::string name =
        absl::StrCat("byrnie_proxy_app_probes_total{result=\"", result, "\"} ");
    const size_t at = text.find(name);
    return at == std::string::npos ? -1 : atof(text.c_str() + at + name.size());
  }

  ManualEventLoop loop_;
  ProxyConfig config_;
  MetricRegistry metrics_;
  Logger logger_;
  FakeApp app_;
  std::unique_ptr<AppProber> prober_;
  std::vector<HttpRouter::Route> routes_;
};

constexpr char kHttp[] = R"("httpGet":{"port":8080,"path":"/healthz?a=b"})";
constexpr char kGrpc[] = R"("grpc":{"port":9090,"service":"shop.Cart"})";
constexpr char kTcp[] = R"("tcpSocket":{"port":5432})";

std::string Says(int status, const std::string& more = "", const std::string& body = "secret") {
  return absl::StrCat("HTTP/1.1 ", status, " X\r\n", more, "Content-Length: ", body.size(),
                      "\r\n\r\n", body);
}

TEST_F(AppProberTest, AsksAsTheKubeletDoes) {
  Probe(kHttp);
  EXPECT_EQ(ToldWhenItSays(Says(200)), "200 the application's probe passes: it answered 200\n");
  EXPECT_THAT(app_.dialled, ElementsAre("10.0.0.7:8080"));
  EXPECT_EQ(app_.heard,
            "GET /healthz?a=b HTTP/1.1\r\nHost: 10.0.0.7:8080\r\nUser-Agent: kube-probe/1.31\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(app_.ended, "in order");
  EXPECT_EQ(Count("passed"), 1);
}

TEST_F(AppProberTest, SaysWhatTheProbeSays) {
  Probe(R"("httpGet":{"port":8443,"scheme":"HTTPS","httpHeaders":[
      {"name":"host","value":"web.example"},{"name":"X-A","value":"1"},{"name":"X-A","value":"2"},
      {"name":"User-Agent","value":"mine"},{"name":"accept","value":""}]})");
  EXPECT_THAT(ToldWhenItSays(Says(204, "", "")), StartsWith("200 "));
  EXPECT_THAT(app_.dialled, ElementsAre("10.0.0.7:8443 tls"));
  EXPECT_EQ(app_.heard,
            "GET / HTTP/1.1\r\nHost: web.example\r\nUser-Agent: mine\r\nX-A: 1\r\nX-A: 2\r\n"
            "Connection: close\r\n\r\n");
}

TEST_F(AppProberTest, AsksTheAddressThatTheKubeletAsked) {
  Probe(kHttp);
  app_.answers = {Says(200), Says(200)};
  Ask("[fd00::7]:15021");
  EXPECT_THAT(app_.heard, HasSubstr("Host: [fd00::7]:8080\r\n"));
  Ask("127.0.0.1:15021");
  EXPECT_THAT(app_.dialled, ElementsAre("[fd00::7]:8080", "127.0.0.1:8080"));
}

TEST_F(AppProberTest, HandsOnNobodysNameButAKubelets) {
  Probe(kHttp);
  for (const char* const agent :
       {"curl/8", "", "kube-probe/1 x", "kube-probe/${x}", "kube-probe/1.30+"}) {
    app_.answers = {Says(200)};
    Ask("10.0.0.7:15021", agent);
    EXPECT_THAT(app_.heard,
                HasSubstr(absl::EndsWith(agent, "+") ? "User-Agent: kube-probe/1.30+\r\n"
                                                     : "User-Agent: kube-probe/byrnie\r\n"));
  }
}

TEST_F(AppProberTest, PassesFrom200To399AndTellsNothingOfTheBody) {
  Probe(kHttp);
  for (const int status : {200, 201, 299, 304, 399}) {
    EXPECT_THAT(ToldWhenItSays(Says(status)), AllOf(StartsWith("200 "), Not(HasSubstr("secret"))));
  }
  for (const int status : {400, 404, 500, 503, 599}) {
    EXPECT_EQ(ToldWhenItSays(Says(status)),
              absl::StrCat(status, " the application's probe fails: it answered ", status, "\n"));
  }
  EXPECT_THAT(ToldWhenItSays(Says(999)), StartsWith("502 "));
  EXPECT_THAT(ToldWhenItSays("SSH-2.0-x\r\n\r\n"), StartsWith("503 "));
  EXPECT_EQ(Count("passed"), 5);
  EXPECT_EQ(Count("failed"), 7);
}

TEST_F(AppProberTest, FollowsRedirectsOnTheHost) {
  Probe(kHttp);
  app_.answers = {Says(302, "Location: /ready\r\n"),
                  Says(307, "Location: http://10.0.0.7:9090/x\r\n"), Says(200)};
  EXPECT_EQ(Told(), "200 the application's probe passes: it answered 200\n");
  EXPECT_THAT(app_.dialled, ElementsAre("10.0.0.7:8080", "10.0.0.7:8080", "10.0.0.7:9090"));
  EXPECT_THAT(app_.heard, StartsWith("GET /x HTTP/1.1\r\nHost: 10.0.0.7:9090\r\n"));
}

TEST_F(AppProberTest, TakesARedirectElsewhereForAnAnswer) {
  Probe(kHttp);
  EXPECT_EQ(ToldWhenItSays(Says(302, "Location: http://login.example/\r\n")),
            "200 the application's probe passes: it answered 302\n");
  EXPECT_EQ(app_.dialled.size(), 1u);
}

TEST_F(AppProberTest, DoesNotGoInCircles) {
  Probe(kHttp);
  app_.answers.assign(20, Says(302, "Location: /again\r\n"));
  EXPECT_EQ(Told(), "503 the application's probe fails: it redirects too often\n");
  EXPECT_EQ(app_.dialled.size(), 10u);
}

TEST_F(AppProberTest, IsNotLedToTheSidecar) {
  Probe(kHttp);
  for (const int port : {15000, 15006, 15008, 15010, 15021}) {
    EXPECT_THAT(ToldWhenItSays(Says(301, absl::StrCat("Location: //10.0.0.7:", port, "/\r\n"))),
                AllOf(StartsWith("503 "), HasSubstr("a port of the sidecar")));
  }
  EXPECT_EQ(app_.dialled.size(), 5u);
}

TEST_F(AppProberTest, ReadsNoMoreOfABodyThanTheKubelet) {
  Probe(kHttp);
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
  EXPECT_THAT(ToldWhenItSays(head + std::string(20000, 'x')), StartsWith("200 "));
  // The rest of a small one is waited for.
  app_.answers = {head + "x"};
  const std::unique_ptr<Asker> asker = Ask();
  EXPECT_EQ(asker->told, "");
  loop_.AdvanceTime(absl::Seconds(2));
  EXPECT_EQ(asker->told, "504 the application's probe fails: no answer within 2s\n");
}

TEST_F(AppProberTest, ConnectsOnlyWhereTheProbeDoes) {
  Probe(kTcp);
  EXPECT_EQ(Told(), "200 the application's probe passes: it took the connection\n");
  EXPECT_THAT(app_.dialled, ElementsAre("10.0.0.7:5432"));
  loop_.RunUntilIdle();
  EXPECT_EQ(app_.heard, "");
  EXPECT_EQ(app_.ended, "in order");
  app_.connects = absl::UnavailableError("10.0.0.7:5432: Connection refused");
  EXPECT_EQ(Told(), "503 the application's probe fails: 10.0.0.7:5432: Connection refused\n");
}

// What a server says that has this status.
std::string SaysHealth(char status, int grpc_status = 0) {
  const std::string message = std::string("\0\0\0\0\2\x08", 6) + status;
  return Http2ServerBeginning() + GrpcAnswer(message, grpc_status);
}

TEST_F(AppProberTest, AsksByGrpcAsTheKubeletDoes) {
  Probe(kGrpc);
  EXPECT_EQ(ToldWhenItSays(SaysHealth(1)), "200 the application's probe passes: it is SERVING\n");
  EXPECT_THAT(app_.dialled, ElementsAre("10.0.0.7:9090"));
  EXPECT_EQ(app_.ended, "in order");
  HeaderList fields;
  std::string body;
  for (const ReadHttp2Frame& frame : ReadHttp2Frames(app_.heard)) {
    if (frame.type == kHttp2Headers) fields = frame.fields;
    if (frame.type == kHttp2Data) body += frame.payload;
  }
  EXPECT_THAT(fields, UnorderedElementsAre(
                          Pair(":method", "POST"), Pair(":scheme", "http"),
                          Pair(":authority", "10.0.0.7:9090"),
                          Pair(":path", "/grpc.health.v1.Health/Check"), Pair("te", "trailers"),
                          Pair("content-type", "application/grpc"),
                          Pair("user-agent", "kube-probe/1.31"), Pair("grpc-timeout", "2S")));
  EXPECT_EQ(body, std::string("\0\0\0\0\x0b\x0a\x09shop.Cart", 16));
  EXPECT_EQ(Count("passed"), 1);
}

TEST_F(AppProberTest, PassesByGrpcWithServingAlone) {
  Probe(kGrpc);
  const auto fails = [this](const std::string& said, int status, const std::string& why) {
    EXPECT_EQ(ToldWhenItSays(said),
              absl::StrCat(status, " the application's probe fails: ", why, "\n"));
  };
  fails(SaysHealth(2), 503, "it is NOT_SERVING");
  fails(SaysHealth(1, 12), 503, "it answered with gRPC's code 12");
  fails(Http2ServerBeginning() + GrpcAnswer("", 0), 503, "its answer has no message");
  fails(Says(200), 503, "it speaks no HTTP/2");
  const auto only = [](const HeaderList& head) {
    return Http2ServerBeginning() +
           Http2Frame(kHttp2Headers, kHttp2EndHeaders | kHttp2EndStream, 1, Http2Fields(head));
  };
  fails(only({{":status", "200"}, {"grpc-status", "5"}, {"grpc-message", "secret"}}), 503,
        "it answered with gRPC's code 5");
  fails(only({{":status", "200"}}), 503, "it does not answer as gRPC does");
  fails(only({{":status", "404"}}), 404, "it answered 404");
  fails(only({{":status", "302"}}), 502, "it answered 302");
  EXPECT_EQ(Count("passed"), 0);
  EXPECT_EQ(Count("failed"), 8);
}

TEST_F(AppProberTest, WaitsForAnAnswerByGrpcAsLongAsTheProbeSays) {
  Probe(kGrpc);
  app_.answers = {Http2ServerBeginning()};
  const std::unique_ptr<Asker> asker = Ask();
  EXPECT_EQ(asker->told, "");
  loop_.AdvanceTime(absl::Seconds(2));
  EXPECT_EQ(asker->told, "504 the application's probe fails: no answer within 2s\n");
}

TEST_F(AppProberTest, WaitsAsLongAsTheProbeSays) {
  Probe(kTcp, 5);
  app_.connects.reset();
  const std::unique_ptr<Asker> asker = Ask();
  loop_.AdvanceTime(absl::Milliseconds(4999));
  EXPECT_EQ(asker->told, "");
  loop_.AdvanceTime(absl::Milliseconds(1));
  EXPECT_EQ(asker->told, "504 the application's probe fails: no answer within 5s\n");
  EXPECT_EQ(app_.attempts, 0);
}

TEST_F(AppProberTest, IsMadeOnceForAllWhoAskMeanwhile) {
  Probe(kHttp);
  app_.connects.reset();
  pause_ = absl::ZeroDuration();
  std::vector<std::unique_ptr<Asker>> askers;
  for (int i = 0; i < 100; ++i) askers.push_back(Ask());
  EXPECT_EQ(app_.dialled.size(), 1u);
  // Another address is another question.
  askers.push_back(Ask("127.0.0.1:15021"));
  EXPECT_EQ(app_.dialled.size(), 2u);
  askers[0].reset();
  loop_.AdvanceTime(absl::Seconds(2));
  for (size_t i = 1; i < askers.size(); ++i) EXPECT_THAT(askers[i]->told, StartsWith("504 "));
  EXPECT_EQ(Count("failed"), 2);
}

// Whoever asks on and on does not have the application asked on and on.
TEST_F(AppProberTest, IsMadeFiveTimesASecondAtMost) {
  Probe(kTcp);
  pause_ = absl::ZeroDuration();
  EXPECT_THAT(Told(), StartsWith("200 "));
  const std::unique_ptr<Asker> early = Ask(), other = Ask();
  EXPECT_EQ(app_.dialled.size(), 1u);
  loop_.AdvanceTime(absl::Milliseconds(199));
  EXPECT_EQ(early->told, "");
  loop_.AdvanceTime(absl::Milliseconds(1));
  EXPECT_THAT(early->told, StartsWith("200 "));
  EXPECT_THAT(other->told, StartsWith("200 "));
  EXPECT_EQ(app_.dialled.size(), 2u);
  std::unique_ptr<Asker> leaver = Ask();
  leaver.reset();
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(app_.dialled.size(), 2u);
}

TEST_F(AppProberTest, IsGivenUpWhenNobodyWaits) {
  Probe(kTcp);
  pause_ = absl::ZeroDuration();
  app_.connects.reset();
  std::unique_ptr<Asker> one = Ask(), other = Ask();
  one.reset();
  EXPECT_EQ(app_.attempts, 1);
  other.reset();
  EXPECT_EQ(app_.attempts, 0);
  EXPECT_EQ(Count("given-up"), 1);
  app_.connects = absl::OkStatus();
  pause_ = absl::Seconds(1);
  EXPECT_THAT(Told(), StartsWith("200 "));
}

TEST_F(AppProberTest, DiesWithProbesUnderWay) {
  Probe(kTcp);
  app_.connects.reset();
  std::unique_ptr<Asker> asker = Ask();
  asker.reset();
  prober_.reset();
  EXPECT_EQ(app_.attempts, 0);
}

}  // namespace
}  // namespace byrnie
