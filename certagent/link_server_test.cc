#include "certagent/link_server.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/link/frame_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class EmptyBackend final : public LinkBackend {
 public:
  IdentitySnapshotPtr Identity() override { return nullptr; }
  absl::optional<PolicySet> Policies() override { return PolicySet{1, {}}; }
  std::vector<AddressPtr> Addresses() override { return {}; }
  absl::StatusOr<std::string> Sign(absl::string_view, uint32_t, absl::string_view) override {
    return absl::UnimplementedError("not in this test");
  }
  void OnIdentityInForce(uint64_t) override {}
  void OnProxyGone() override { ++gone; }
  void Resolve(const IpAddress&, bool, ResolveCallback) override {}
  absl::Status ForwardFlows(const link::v1::FlowReport&, FlowCallback) override {
    return absl::OkStatus();
  }

  int gone = 0;
};

struct Client final : FrameStream::Delegate {
  void OnFrame(absl::string_view payload) override {
    ++frames;
    link::v1::AgentMessage message;
    ASSERT_TRUE(message.ParseFromArray(payload.data(), static_cast<int>(payload.size())));
    if (message.has_refusal()) refusal = message.refusal().reason();
  }
  void OnClosed(const absl::Status&) override { closed = true; }
  void SayHello() {
    link::v1::ProxyMessage message;
    message.mutable_hello()->set_protocol_version(1);
    EXPECT_THAT(stream->Send(message.SerializeAsString()), IsOk());
  }
  std::unique_ptr<FrameStream> stream;
  int frames = 0;
  std::string refusal;
  bool closed = false;
};

class LinkServerTest : public ::testing::Test {
 protected:
  LinkServerTest() {
    // Not TempDir(): a Unix address holds 107 bytes.
    std::string pattern = "/tmp/byrnie-link-XXXXXX";
    directory_ = mkdtemp(&pattern[0]);
    options_.path = directory_ + "/s";
    options_.proxy_uid = geteuid();
  }
  ~LinkServerTest() override {
    server_.reset();
    rmdir(directory_.c_str());
  }

  void Serve() {
    ASSERT_OK_AND_ASSIGN(server_,
                         LinkServer::Create(&loop_, options_, &backend_, &log_, &metrics_));
  }
  void Connect(Client* client) {
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<TcpStream> stream, ConnectUnix(&loop_, options_.path));
    client->stream = std::make_unique<FrameStream>(&loop_, std::move(stream), client);
  }

  Logger log_{open("/dev/null", O_WRONLY | O_CLOEXEC), Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  ManualEventLoop loop_;
  EmptyBackend backend_;
  std::string directory_;
  LinkServer::Options options_;
  std::unique_ptr<LinkServer> server_;
};

TEST_F(LinkServerTest, ServesOneProxyAfterTheOther) {
  Serve();
  for (int i = 0; i < 3; ++i) {
    Client proxy;
    Connect(&proxy);
    proxy.SayHello();
    ASSERT_TRUE(loop_.RunUntil([&] { return proxy.frames == 3; }));
    EXPECT_TRUE(server_->session()->open());
    proxy.stream.reset();
    ASSERT_TRUE(loop_.RunUntil([&] { return server_->session() == nullptr; }));
  }
}

TEST_F(LinkServerTest, RefusesASecondProxyWhileTheFirstLives) {
  Serve();
  Client first, second;
  Connect(&first);
  first.SayHello();
  ASSERT_TRUE(loop_.RunUntil([&] { return first.frames == 3; }));
  Connect(&second);
  ASSERT_TRUE(loop_.RunUntil([&] { return second.closed; }));
  EXPECT_EQ(second.frames, 1);
  EXPECT_THAT(second.refusal, HasSubstr("another proxy is connected already"));
  EXPECT_FALSE(first.closed);
  EXPECT_TRUE(server_->session()->open());
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr("result=\"refused_second\"} 1"));
}

TEST_F(LinkServerTest, RefusesAnotherUid) {
  options_.proxy_uid = geteuid() + 1;
  Serve();
  Client proxy;
  Connect(&proxy);
  ASSERT_TRUE(loop_.RunUntil([&] { return proxy.closed; }));
  EXPECT_THAT(proxy.refusal, HasSubstr("not the proxy's"));
  EXPECT_EQ(server_->session(), nullptr);
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr("result=\"refused_uid\"} 1"));
}

TEST_F(LinkServerTest, ReplacesAtOnceAProxyThatHasGone) {
  Serve();
  Client first, second;
  Connect(&first);
  first.SayHello();
  ASSERT_TRUE(loop_.RunUntil([&] { return first.frames == 3; }));
  // Both happen before the server's loop sees either.
  first.stream.reset();
  Connect(&second);
  second.SayHello();
  ASSERT_TRUE(loop_.RunUntil([&] { return second.frames == 3; }));
  EXPECT_EQ(second.refusal, "");
  EXPECT_TRUE(server_->session()->open());
  EXPECT_EQ(backend_.gone, 1);
  second.stream.reset();
  ASSERT_TRUE(loop_.RunUntil([&] { return server_->session() == nullptr; }));
  EXPECT_EQ(backend_.gone, 2);
}

TEST_F(LinkServerTest, ServesAProxyOfTheRightExecutable) {
  options_.proxy_executable = "/proc/self/exe";
  Serve();
  Client proxy;
  Connect(&proxy);
  proxy.SayHello();
  ASSERT_TRUE(loop_.RunUntil([&] { return proxy.frames == 3; }));
  EXPECT_TRUE(server_->session()->open());
}

TEST_F(LinkServerTest, RefusesAnotherExecutable) {
  options_.proxy_executable = "/bin/sh";
  Serve();
  Client proxy;
  Connect(&proxy);
  ASSERT_TRUE(loop_.RunUntil([&] { return proxy.closed; }));
  EXPECT_THAT(proxy.refusal, HasSubstr("/bin/sh"));
  EXPECT_EQ(server_->session(), nullptr);
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr("result=\"refused_executable\"} 1"));
}

TEST_F(LinkServerTest, RefusesEverybodyWhenTheExecutableIsMissing) {
  options_.proxy_executable = directory_ + "/missing";
  Serve();
  Client proxy;
  Connect(&proxy);
  ASSERT_TRUE(loop_.RunUntil([&] { return proxy.closed; }));
  EXPECT_EQ(server_->session(), nullptr);
}

TEST_F(LinkServerTest, SaysThatTheDirectoryIsMissing) {
  options_.path = directory_ + "/missing/s";
  EXPECT_THAT(LinkServer::Create(&loop_, options_, &backend_, &log_, &metrics_).status(),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace byrnie
