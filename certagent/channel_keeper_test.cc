#include "certagent/channel_keeper.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/unique_fd.h"
#include "grpc/grpc.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

// A server that takes connections and says nothing: whoever connects waits for its settings.
class SilentServer {
 public:
  SilentServer() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(socket_.get(), 8), 0);
    EXPECT_EQ(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }

  std::string target() const { return absl::StrCat("127.0.0.1:", port_); }
  // What is connecting is reset.
  void Close() { socket_ = UniqueFd(); }

 private:
  UniqueFd socket_;
  int port_;
};

std::shared_ptr<grpc::Channel> NewChannel(const std::string& target) {
  return grpc::CreateChannel(target, grpc::InsecureChannelCredentials());
}

void WaitWhile(grpc::Channel* channel, grpc_connectivity_state state) {
  while (channel->GetState(false) == state) {
    channel->WaitForStateChange(state, std::chrono::system_clock::now() + std::chrono::seconds(10));
  }
}

TEST(ChannelKeeperTest, LetsGoOfAChannelThatNobodyUses) {
  ChannelKeeper keeper;
  std::shared_ptr<grpc::Channel> channel = NewChannel("127.0.0.1:1");
  keeper.Keep(channel);
  keeper.Sweep();
  EXPECT_EQ(keeper.size(), 1u);
  channel.reset();
  keeper.Sweep();
  EXPECT_EQ(keeper.size(), 0u);
}

TEST(ChannelKeeperTest, LetsNobodyElseEndAChannelOnceItHasEndedItself) {
  auto keeper = std::make_unique<ChannelKeeper>();
  // As a call has it that is cancelled, and not over yet.
  std::shared_ptr<grpc::Channel> of_a_call = NewChannel("127.0.0.1:1");
  const std::weak_ptr<grpc::Channel> channel = of_a_call;
  keeper->Keep(of_a_call);
  keeper.reset();
  of_a_call.reset();
  EXPECT_FALSE(channel.expired());
}

TEST(ChannelKeeperTest, EndsWhatNobodyUsesWhenItEnds) {
  auto keeper = std::make_unique<ChannelKeeper>();
  std::shared_ptr<grpc::Channel> made = NewChannel("127.0.0.1:1");
  const std::weak_ptr<grpc::Channel> channel = made;
  keeper->Keep(std::move(made));
  keeper.reset();
  EXPECT_TRUE(channel.expired());
}

TEST(ChannelKeeperTest, HoldsAChannelWhileItConnects) {
  SilentServer server;
  ChannelKeeper keeper;
  std::shared_ptr<grpc::Channel> channel = NewChannel(server.target());
  channel->GetState(/*try_to_connect=*/true);
  WaitWhile(channel.get(), GRPC_CHANNEL_IDLE);
  grpc::Channel* const raw = channel.get();
  keeper.Keep(std::move(channel));
  keeper.Sweep();
  ASSERT_EQ(keeper.size(), 1u);
  EXPECT_EQ(raw->GetState(false), GRPC_CHANNEL_CONNECTING);

  server.Close();
  WaitWhile(raw, GRPC_CHANNEL_CONNECTING);
  keeper.Sweep();
  EXPECT_EQ(keeper.size(), 0u);
}

}  // namespace
}  // namespace byrnie
