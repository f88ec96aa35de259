#include "proxy/admin.h"

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "common/net/socket_address.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/proxy_config.h"
#include "proxy/reason_set.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Real threads: what is proved is how they meet.
class AdminTest : public ::testing::Test, public Admin::Host {
 protected:
  AdminTest() : logger_(STDERR_FILENO, Logger::Format::kText, LogLevel::kError) {
    config_.admin = *SocketAddress::Parse("127.0.0.1:0");
    config_.stats_port = 0;
    config_.status_port = 0;
    absl::StatusOr<std::unique_ptr<Admin>> admin =
        Admin::Create(&clock_, &config_, &metrics_, &logger_, this);
    EXPECT_THAT(admin, IsOk());
    admin_ = *std::move(admin);
    address_ = admin_->admin_address();
    status_port_ = admin_->status_address().port();
  }

  std::vector<FlightRecorder::Entry> FindEnded(const FlightRecorder::Filter& filter,
                                               bool* complete) override {
    *complete = true;
    AccessRecord record;
    record.reason = filter.reason.empty() ? "closed" : filter.reason;
    return {FlightRecorder::Entry(record)};
  }
  std::vector<uint64_t> Refusals() override {
    return std::vector<uint64_t>(AllReasons().size(), 0);
  }
  std::vector<Worker::View> InspectWorkers(const Connection::Filter&, bool* complete) override {
    if (inspect_ != nullptr) inspect_();
    *complete = true;
    return {};
  }
  void BeginDrain() override { ++drains_; }
  void Quit() override { quit_.Notify(); }

  static UniqueFd Send(const SocketAddress& address, const std::string& request) {
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage;
    const socklen_t size = address.ToSockaddr(&storage);
    EXPECT_EQ(connect(socket.get(), reinterpret_cast<const sockaddr*>(&storage), size), 0);
    EXPECT_EQ(send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    return socket;
  }
  // What comes until the end; "reset" if it does not end in order.
  static std::string ReadAll(const UniqueFd& socket) {
    std::string text;
    char buffer[4096];
    ssize_t count;
    while ((count = recv(socket.get(), buffer, sizeof(buffer), 0)) > 0) text.append(buffer, count);
    return count == 0 ? text : "reset";
  }
  static std::string Get(const SocketAddress& address, const std::string& path) {
    return ReadAll(
        Send(address, absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: localhost\r\n\r\n")));
  }
  std::string Ready() { return Get(SocketAddress(address_.ip(), status_port_), "/healthz/ready"); }

  const SystemClock clock_;
  Logger logger_;
  MetricRegistry metrics_;
  ProxyConfig config_;
  SocketAddress address_;
  uint16_t status_port_ = 0;
  absl::AnyInvocable<void()> inspect_;
  int drains_ = 0;
  absl::Notification quit_;
  std::unique_ptr<Admin> admin_;
};

TEST_F(AdminTest, AnswersTheRequestThatEndsTheProcess) {
  admin_->Start();
  UniqueFd client =
      Send(address_, "POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  quit_.WaitForNotification();
  std::thread end([this] { admin_.reset(); });
  EXPECT_THAT(ReadAll(client), AllOf(StartsWith("HTTP/1.1 200 OK"), EndsWith("ending\n")));
  client.reset();
  end.join();
}

TEST_F(AdminTest, AnswersAPageThatGathersWhenTheEndComes) {
  absl::Notification gathering;
  absl::Notification go_on;
  inspect_ = [&] {
    gathering.Notify();
    go_on.WaitForNotification();
  };
  admin_->Start();
  UniqueFd client = Send(address_, "GET /connections HTTP/1.1\r\nHost: localhost\r\n\r\n");
  gathering.WaitForNotification();
  std::thread end([this] { admin_.reset(); });
  go_on.Notify();
  EXPECT_THAT(ReadAll(client), AllOf(StartsWith("HTTP/1.1 200 OK"), HasSubstr("\"complete\"")));
  client.reset();
  end.join();
}

TEST_F(AdminTest, EndsThoughAClientDoesNot) {
  admin_->Start();
  const UniqueFd client = Send(address_, "GET /metrics HT");
  EXPECT_THAT(Ready(), HasSubstr("503"));
  admin_.reset();
}

TEST_F(AdminTest, SaysToWhoIsLedToThePortOfTheMetricsThatTheRedirectHasFailedClosed) {
  admin_->Start();
  const SocketAddress metrics(address_.ip(), admin_->stats_address().port());
  EXPECT_THAT(Get(metrics, "/healthz/ready"),
              AllOf(HasSubstr("503"), HasSubstr("byrnie-redirect has failed closed"),
                    HasSubstr("byrnie-redirect apply")));
  EXPECT_THAT(Get(metrics, "/metrics"), HasSubstr("200"));
}

TEST_F(AdminTest, ShowsTheStateItWasToldLast) {
  admin_->Start();
  EXPECT_THAT(Ready(), AllOf(HasSubstr("no identity from the agent yet"),
                             HasSubstr("no policies from the agent yet")));
  EXPECT_THAT(Get(address_, "/"), HasSubstr("no link"));
  Admin::State state;
  state.link_up = true;
  state.draining = true;
  admin_->SetState(state);
  EXPECT_THAT(Ready(), HasSubstr("draining"));
  EXPECT_THAT(Get(address_, "/"), HasSubstr("<td>linked"));
}

TEST_F(AdminTest, PassesWhatIsAskedOn) {
  admin_->Start();
  EXPECT_THAT(Get(address_, "/recorder?reason=tls-failed"), HasSubstr("\"reason\":\"tls-failed\""));
  EXPECT_THAT(Get(address_, "/recorder?reason=made-up"),
              AllOf(StartsWith("HTTP/1.0 400"), HasSubstr("no such reason")));
  EXPECT_THAT(Get(address_, "/connections?direction=up"), HasSubstr("inbound or outbound"));
}

TEST_F(AdminTest, EndsWithoutHavingStarted) { admin_.reset(); }

}  // namespace
}  // namespace byrnie
