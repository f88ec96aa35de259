#include "common/net/socket_owner.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "common/net/socket.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

class SocketOwnerTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const SocketAddress any(IpAddress::Parse(GetParam()).value(), 0);
    sockaddr_storage storage;
    socklen_t size = any.ToSockaddr(&storage);
    family_ = storage.ss_family;
    listener_ = UniqueFd(socket(family_, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
    ASSERT_EQ(listen(listener_.get(), 8), 0);
    server_ = LocalSocketAddress(listener_.get()).value();
    size = server_.ToSockaddr(&storage);
    client_fd_ = UniqueFd(socket(family_, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(client_fd_.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
    client_ = LocalSocketAddress(client_fd_.get()).value();
    accepted_ = UniqueFd(accept(listener_.get(), nullptr, nullptr));
    ASSERT_TRUE(accepted_.valid());
  }

  int family_ = AF_UNSPEC;
  UniqueFd listener_;
  UniqueFd client_fd_;
  UniqueFd accepted_;
  SocketAddress server_;
  SocketAddress client_;
  const KernelSocketOwners owners_;
};

TEST_P(SocketOwnerTest, TellsWhoMadeTheOtherEnd) {
  EXPECT_THAT(owners_.Find(client_, server_), IsOkAndHolds(geteuid()));
}

TEST_P(SocketOwnerTest, DoesNotTakeTheListenerForAConnection) {
  const SocketAddress nobody(server_.ip(), static_cast<uint16_t>(client_.port() ^ 1));
  EXPECT_THAT(owners_.Find(server_, nobody), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(owners_.Find(nobody, server_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(SocketOwnerTest, DoesNotTrustASocketThatIsClosed) {
  // Waits in FIN_WAIT2, which the kernel shows with uid 0.
  client_fd_.reset();
  EXPECT_THAT(owners_.Find(client_, server_), StatusIs(absl::StatusCode::kNotFound));
}

INSTANTIATE_TEST_SUITE_P(Families, SocketOwnerTest, ::testing::Values("127.0.0.1", "::1"));

TEST(KernelSocketOwnersTest, FindsAClientThatUsesAnIpv6SocketForIpv4) {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(listen(listener.get(), 8), 0);
  const uint16_t port = LocalSocketAddress(listener.get()).value().port();
  UniqueFd client(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 mapped = {};
  mapped.sin6_family = AF_INET6;
  mapped.sin6_port = htons(port);
  ASSERT_EQ(inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr), 1);
  ASSERT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&mapped), sizeof(mapped)), 0);
  EXPECT_THAT(KernelSocketOwners().Find(LocalSocketAddress(client.get()).value(),
                                        PeerSocketAddress(client.get()).value()),
              IsOkAndHolds(geteuid()));
}

}  // namespace
}  // namespace byrnie
