#include "common/net/unix_listener.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/peer_credentials.h"
#include "common/net/socket.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class UnixListenerTest : public ::testing::Test {
 protected:
  UnixListenerTest() {
    // Not under the test's own folder, whose path may be longer than a Unix address.
    std::string pattern = "/tmp/unix_listener_test.XXXXXX";
    folder_ = mkdtemp(&pattern[0]);
    path_ = absl::StrCat(folder_, "/socket");
  }
  ~UnixListenerTest() override {
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }
  absl::StatusOr<std::unique_ptr<UnixListener>> Listen() {
    return UnixListener::Create(&loop_, path_, [this](std::unique_ptr<TcpStream> stream) {
      accepted_ = std::move(stream);
    });
  }
  bool Exists() const { return access(path_.c_str(), F_OK) == 0; }

  ManualEventLoop loop_;
  std::string folder_;
  std::string path_;
  std::unique_ptr<TcpStream> accepted_;
};

TEST_F(UnixListenerTest, CarriesBytesAndTheirEnd) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen());
  ASSERT_OK_AND_ASSIGN(auto client, ConnectUnix(&loop_, path_));
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr; }));
  const uint8_t data[] = {'h', 'i'};
  EXPECT_EQ(client->Write(data).bytes, 2u);
  client->ShutdownWrite();
  loop_.RunUntilIdle();
  uint8_t buffer[10];
  EXPECT_EQ(accepted_->Read(absl::MakeSpan(buffer)).bytes, 2u);
  EXPECT_EQ(accepted_->Read(absl::MakeSpan(buffer)).status, IoStatus::kEof);
}

TEST_F(UnixListenerTest, KnowsWhoIsAtTheOtherEnd) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen());
  ASSERT_OK_AND_ASSIGN(auto client, ConnectUnix(&loop_, path_));
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr; }));
  for (TcpStream* stream : {client.get(), accepted_.get()}) {
    ASSERT_OK_AND_ASSIGN(PeerCredentials peer, GetPeerCredentials(stream->fd()));
    EXPECT_EQ(peer.pid, getpid());
    EXPECT_EQ(peer.uid, geteuid());
    EXPECT_EQ(peer.gid, getegid());
  }
}

TEST_F(UnixListenerTest, ATcpSocketHasNoCredentials) {
  UniqueFd tcp = *NewStreamSocket(AF_INET);
  EXPECT_THAT(GetPeerCredentials(tcp.get()), StatusIs(absl::StatusCode::kInvalidArgument));
  UniqueFd lonely = *NewStreamSocket(AF_UNIX);
  EXPECT_THAT(GetPeerCredentials(lonely.get()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(UnixListenerTest, IsForItsOwnerOnlyAndLeavesNothing) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen());
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  listener.reset();
  EXPECT_FALSE(Exists());
}

TEST_F(UnixListenerTest, ReplacesASocketThatNobodyListensOn) {
  {
    // As a killed process leaves it: bound, then closed without unlink.
    UniqueFd fd = *NewStreamSocket(AF_UNIX);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  ASSERT_TRUE(Exists());
  EXPECT_THAT(ConnectUnix(&loop_, path_),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(path_)));
  EXPECT_THAT(Listen(), IsOk());
}

TEST_F(UnixListenerTest, DoesNotTakeThePlaceOfAnotherListener) {
  ASSERT_OK_AND_ASSIGN(auto listener, Listen());
  EXPECT_THAT(Listen(), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(path_)));
  EXPECT_THAT(ConnectUnix(&loop_, path_), IsOk());
}

TEST_F(UnixListenerTest, NeverRemovesAFileThatIsNoSocket) {
  UniqueFd file(open(path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_THAT(Listen(), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("no socket")));
  EXPECT_TRUE(Exists());
}

TEST_F(UnixListenerTest, NamesAMissingFolderAndATooLongPath) {
  EXPECT_THAT(UnixListener::Create(&loop_, folder_ + "/none/socket", [](auto) {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/none/socket")));
  EXPECT_THAT(UnixListener::Create(&loop_, "/tmp/" + std::string(200, 'x'), [](auto) {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("107 bytes")));
  EXPECT_THAT(ConnectUnix(&loop_, folder_ + "/none"), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace byrnie
