#include "proxy/redirect_check.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/socket_address.h"
#include "common/net/testing/memory_stream_pair.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

// Answers each attempt as the test says.
class FakeRules final : public ProbeDialer {
 public:
  explicit FakeRules(EventLoop* loop) : loop_(loop) {}

  std::unique_ptr<Attempt> Dial(const SocketAddress& address, bool, absl::Duration,
                                Callback done) override {
    dialled = address.ToString();
    ++dials;
    return std::make_unique<Answering>(this, std::move(done));
  }

  absl::Status answer;
  std::string dialled;
  int dials = 0;

 private:
  class Answering final : public Attempt {
   public:
    Answering(FakeRules* rules, Callback done)
        : rules_(rules),
          done_(std::move(done)),
          tell_(rules->loop_->NewDeferred([this] { Tell(); })) {
      tell_->Schedule();
    }

   private:
    void Tell() {
      Callback done = std::move(done_);
      if (!rules_->answer.ok()) return done(rules_->answer);
      rules_->pair_ = std::make_unique<MemoryStreamPair>(rules_->loop_);
      done(rules_->pair_->TakeA());
    }
    FakeRules* const rules_;
    Callback done_;
    std::unique_ptr<EventLoop::Deferred> tell_;
  };

  EventLoop* const loop_;
  std::unique_ptr<MemoryStreamPair> pair_;
};

class RedirectCheckTest : public ::testing::Test {
 protected:
  RedirectCheckTest()
      : logger_(-1, Logger::Format::kText, LogLevel::kError),
        rules_(&loop_),
        in_place_(metrics_.AddGauge("in_place", "")) {}

  void Start() {
    check_ = std::make_unique<RedirectCheck>(&loop_, 15022, &rules_, in_place_, &logger_);
  }
  // The next look finds `answer`.
  void Find(absl::Status answer) {
    rules_.answer = std::move(answer);
    loop_.AdvanceTime(RedirectCheck::kInterval);
  }
  // What the gauge and readiness say together.
  std::string State() {
    const absl::optional<std::string> why = check_->WhyNotReady();
    EXPECT_EQ(in_place_->value(), why.has_value() ? 0 : 1);
    if (!why.has_value()) return "in place";
    return absl::StrContains(*why, "are gone") ? "gone" : "not yet";
  }

  ManualEventLoop loop_;
  Logger logger_;
  MetricRegistry metrics_;
  FakeRules rules_;
  Gauge* const in_place_;
  std::unique_ptr<RedirectCheck> check_;
};

TEST_F(RedirectCheckTest, IsNotReadyBeforeItHasLooked) {
  Start();
  EXPECT_EQ(State(), "not yet");
  loop_.AdvanceTime(absl::ZeroDuration());
  EXPECT_EQ(State(), "in place");
  EXPECT_EQ(rules_.dialled, "127.0.0.1:15022");
}

TEST_F(RedirectCheckTest, SeesRulesGoAndComeBack) {
  Start();
  Find(absl::OkStatus());
  EXPECT_EQ(State(), "in place");
  Find(absl::UnavailableError("refused"));
  EXPECT_EQ(State(), "gone");
  Find(absl::OkStatus());
  EXPECT_EQ(State(), "in place");
}

TEST_F(RedirectCheckTest, LooksOncePerInterval) {
  Start();
  loop_.AdvanceTime(RedirectCheck::kInterval * 10 + absl::Milliseconds(1));
  EXPECT_EQ(rules_.dials, 11);
}

TEST_F(RedirectCheckTest, TakesSilenceForRulesThatDropEverything) {
  Start();
  Find(absl::OkStatus());
  for (const char* state : {"in place", "in place", "gone", "gone"}) {
    Find(absl::DeadlineExceededError("nothing"));
    EXPECT_EQ(State(), state);
  }
  Find(absl::OkStatus());
  Find(absl::DeadlineExceededError("slow"));
  EXPECT_EQ(State(), "in place");
}

TEST_F(RedirectCheckTest, LearnsNothingFromItsOwnTroubles) {
  Start();
  for (int i = 0; i < 10; ++i) Find(absl::ResourceExhaustedError("descriptors"));
  EXPECT_EQ(State(), "not yet");
  Find(absl::OkStatus());
  for (int i = 0; i < 10; ++i) Find(absl::ResourceExhaustedError("descriptors"));
  EXPECT_EQ(State(), "in place");
}

TEST_F(RedirectCheckTest, GivesWhoMakesTheRulesTime) {
  Start();
  for (int i = 0; i < 10; ++i) Find(absl::UnavailableError("refused"));
  EXPECT_EQ(State(), "not yet");
  Find(absl::OkStatus());
  EXPECT_EQ(State(), "in place");
}

// A pod is not ready before.
TEST_F(RedirectCheckTest, SeesTheFirstRulesAtOnce) {
  Start();
  Find(absl::UnavailableError("refused"));
  rules_.answer = absl::OkStatus();
  loop_.AdvanceTime(RedirectCheck::kFirstInterval);
  EXPECT_EQ(State(), "in place");
}

TEST_F(RedirectCheckTest, DoesNotWaitForEver) {
  Start();
  for (int i = 0; i < 14; ++i) Find(absl::UnavailableError("refused"));
  EXPECT_EQ(State(), "not yet");
  for (int i = 0; i < 2; ++i) Find(absl::UnavailableError("refused"));
  EXPECT_EQ(State(), "gone");
}

TEST_F(RedirectCheckTest, SaysWhatToDo) {
  Start();
  Find(absl::OkStatus());
  Find(absl::UnavailableError("refused"));
  EXPECT_THAT(*check_->WhyNotReady(), HasSubstr("byrnie-redirect apply"));
}

// Nobody else has the port the kernel chose for `fd`.
uint16_t PortOf(const UniqueFd& fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&storage), &size), 0);
  // At the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

TEST(TakePortTest, LetsNobodyElseHaveItAndRefuses) {
  const absl::StatusOr<UniqueFd> taken = TakePort(0);
  ASSERT_THAT(taken, IsOk());
  const uint16_t port = PortOf(*taken);
  EXPECT_THAT(TakePort(port), StatusIs(absl::StatusCode::kFailedPrecondition));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  const UniqueFd other(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ASSERT_EQ(setsockopt(other.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
  EXPECT_EQ(bind(other.get(), generic, sizeof(address)), -1);
  EXPECT_EQ(connect(other.get(), generic, sizeof(address)), -1);
  EXPECT_EQ(errno, ECONNREFUSED);
}

}  // namespace
}  // namespace byrnie
