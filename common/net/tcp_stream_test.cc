// What is TCP's own; what every stream promises is in byte_stream_conformance_test.cc.
#include "common/net/tcp_stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "common/event/testing/manual_event_loop.h"
#include "common/net/socket.h"
#include "common/net/socket_address.h"
#include "common/net/tcp_listener.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

int GetInt(int fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  EXPECT_EQ(getsockopt(fd, level, option, &value, &size), 0);
  return value;
}

class TcpStreamTest : public ::testing::Test {
 protected:
  void Listen(const char* address = "127.0.0.1:0") {
    ASSERT_OK_AND_ASSIGN(listener_, TcpListener::Create(&loop_, *SocketAddress::Parse(address),
                                                        TcpListener::Options(),
                                                        [this](std::unique_ptr<TcpStream> stream) {
                                                          accepted_ = std::move(stream);
                                                        }));
  }
  std::unique_ptr<TcpStream::Attempt> Connect(
      const SocketAddress& remote,
      const TcpStream::ConnectOptions& options = TcpStream::ConnectOptions()) {
    return TcpStream::Connect(&loop_, remote, options,
                              [this](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                                ++calls_;
                                result_ = std::move(stream);
                              });
  }
  void ExpectOptions(int fd) {
    EXPECT_EQ(GetInt(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(GetInt(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(GetInt(fd, SOL_SOCKET, SO_OOBINLINE), 1);
    EXPECT_EQ(GetInt(fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
    EXPECT_EQ(GetInt(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
    EXPECT_EQ(GetInt(fd, IPPROTO_TCP, TCP_KEEPCNT), 4);
  }
  // Writes until the kernel takes no more.
  static void Fill(TcpStream& writer) {
    const std::string data(1 << 20, 'x');
    const auto bytes =
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(data.data()), data.size());
    while (writer.Write(bytes).status == IoStatus::kOk) {
    }
  }
  // A bound port on which nobody listens.
  SocketAddress ClosedPort() {
    Listen();
    SocketAddress address = listener_->address();
    listener_.reset();
    return address;
  }

  ManualEventLoop loop_;
  std::unique_ptr<TcpListener> listener_;
  std::unique_ptr<TcpStream> accepted_;
  int calls_ = 0;
  absl::StatusOr<std::unique_ptr<TcpStream>> result_ = absl::UnknownError("not called");
};

TEST_F(TcpStreamTest, SetsTheOptionsOnBothEnds) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  ASSERT_THAT(result_, IsOk());
  ExpectOptions((*result_)->fd());
  ExpectOptions(accepted_->fd());
  EXPECT_EQ(*(*result_)->RemoteAddress(), *accepted_->LocalAddress());
  (*result_)->ShortenKeepalive();
  // Below the 5 s after which some hosts' connection tracking forgets half-closed connections.
  EXPECT_EQ(GetInt((*result_)->fd(), IPPROTO_TCP, TCP_KEEPIDLE), 3);
}

TEST_F(TcpStreamTest, ConnectsWithThePriorityItIsGiven) {
  for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
    Listen(address);
    calls_ = 0;
    TcpStream::ConnectOptions options;
    options.priority = 4;
    auto attempt = Connect(listener_->address(), options);
    ASSERT_TRUE(loop_.RunUntil([&] { return calls_ == 1; }));
    ASSERT_THAT(result_, IsOk());
    EXPECT_EQ(GetInt((*result_)->fd(), SOL_SOCKET, SO_PRIORITY), 4);
  }
}

TEST_F(TcpStreamTest, KnowsWhatThereIsRoomFor) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  TcpStream& stream = **result_;
  ASSERT_TRUE(loop_.RunUntil([&] { return stream.Room() > 0; }));
  std::vector<uint8_t> block(256 * 1024);
  while (stream.Write(block).status == IoStatus::kOk) {
  }
  EXPECT_EQ(stream.Room(), 0u);
  ASSERT_TRUE(loop_.RunUntil([&] {
    while (accepted_->Read(absl::MakeSpan(block)).bytes > 0) {
    }
    return stream.Room() > 0;
  }));
}

TEST_F(TcpStreamTest, WritesPiecesInOrderHoweverMany) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  TcpStream& stream = **result_;
  std::string sent;
  for (int i = 0; i < 20000; ++i) sent.push_back(static_cast<char>(i * 131 + i / 251));
  const auto bytes =
      absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(sent.data()), sent.size());
  // More than one system call takes.
  std::vector<absl::Span<const uint8_t>> pieces;
  for (size_t begin = 0; begin < bytes.size(); begin += 1 + begin % 130) {
    pieces.push_back(bytes.subspan(begin, 1 + begin % 130));
  }
  ASSERT_GT(pieces.size(), 64u);
  const IoResult result = stream.WritePieces(pieces);
  EXPECT_EQ(result.status, IoStatus::kOk);
  EXPECT_EQ(result.bytes, sent.size());
  std::string received;
  ASSERT_TRUE(loop_.RunUntil([&] {
    uint8_t buffer[4096];
    const size_t taken = accepted_->Read(absl::MakeSpan(buffer)).bytes;
    received.append(reinterpret_cast<const char*>(buffer), taken);
    return received.size() >= sent.size();
  }));
  EXPECT_EQ(received, sent);
  stream.ShutdownWrite();
  EXPECT_EQ(stream.WritePieces(pieces).status, IoStatus::kError);
}

TEST_F(TcpStreamTest, SaysHowMuchOfThePiecesThereWasRoomFor) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  TcpStream& stream = **result_;
  const std::vector<uint8_t> block(1 << 20);
  const std::vector<absl::Span<const uint8_t>> pieces(3, block);
  uint64_t taken = 0;
  IoResult result;
  while (result.status == IoStatus::kOk) {
    result = stream.WritePieces(pieces);
    taken += result.bytes;
  }
  EXPECT_EQ(result.status, IoStatus::kWouldBlock);
  uint64_t received = 0;
  std::vector<uint8_t> buffer(1 << 20);
  ASSERT_TRUE(loop_.RunUntil([&] {
    received += accepted_->Read(absl::MakeSpan(buffer)).bytes;
    return received >= taken;
  }));
  EXPECT_EQ(received, taken);
}

TEST_F(TcpStreamTest, ConnectsOverIpv6) {
  Listen("[::1]:0");
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return calls_ == 1; }));
  ASSERT_THAT(result_, IsOk());
  EXPECT_EQ(*(*result_)->RemoteAddress(), listener_->address());
}

TEST_F(TcpStreamTest, ConnectsFromAmongThePortsItIsGiven) {
  for (const char* address : {"127.0.0.1:0", "[::1]:0"}) {
    Listen(address);
    UniqueFd any = *NewStreamSocket(listener_->address().ip().is_v4() ? AF_INET : AF_INET6);
    // Before Linux 6.3 it connects all the same, from wherever the kernel likes.
    const bool can_choose = SetSourcePorts(any.get(), absl::nullopt);
    calls_ = 0;
    auto first = Connect(listener_->address());
    ASSERT_TRUE(loop_.RunUntil([&] { return calls_ == 1 && accepted_ != nullptr; }));
    ASSERT_THAT(result_, IsOk());
    const std::unique_ptr<TcpStream> open = *std::move(result_);
    const std::unique_ptr<TcpStream> other_end = std::move(accepted_);
    const uint16_t taken = open->LocalAddress()->port();

    TcpStream::ConnectOptions options;
    options.source_ports = {static_cast<uint16_t>(std::max(1, taken - 100)),
                            static_cast<uint16_t>(std::min(65535, taken + 100))};
    auto second = Connect(listener_->address(), options);
    ASSERT_TRUE(loop_.RunUntil([&] { return calls_ == 2; }));
    ASSERT_THAT(result_, IsOk());
    if (can_choose) {
      EXPECT_LE(std::abs((*result_)->LocalAddress()->port() - taken), 100);
    }

    // All of one are taken.
    options.source_ports = {taken, taken};
    auto third = Connect(listener_->address(), options);
    ASSERT_TRUE(loop_.RunUntil([&] { return calls_ == 3; }));
    ASSERT_THAT(result_, IsOk());
    EXPECT_NE((*result_)->LocalAddress()->port(), taken);
  }
}

TEST_F(TcpStreamTest, ReportsARefusedConnectionInALaterTurn) {
  const SocketAddress address = ClosedPort();
  auto attempt = Connect(address);
  EXPECT_EQ(calls_, 0);
  ASSERT_TRUE(loop_.RunUntil([&] { return calls_ == 1; }));
  EXPECT_THAT(result_, StatusIs(absl::StatusCode::kUnavailable, HasSubstr(address.ToString())));
  EXPECT_TRUE(IsRoutineDisconnect(result_.status()));
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(calls_, 1);
}

// There was a connection, and somebody on it said something.
TEST_F(TcpStreamTest, HearsWhatAPeerSaidThatResetBeforeTheNextTurn) {
  UniqueFd listener = *NewStreamSocket(AF_INET);
  sockaddr_storage storage;
  socklen_t size = SocketAddress::Parse("127.0.0.1:0")->ToSockaddr(&storage);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  auto attempt = Connect(*LocalSocketAddress(listener.get()));
  pollfd ready = {listener.get(), POLLIN, 0};
  ASSERT_EQ(poll(&ready, 1, 10000), 1);
  UniqueFd peer(accept(listener.get(), nullptr, nullptr));
  ASSERT_TRUE(peer);
  ASSERT_EQ(send(peer.get(), "hello", 5, 0), 5);
  SetResetOnClose(peer.get());
  peer.reset();
  ASSERT_TRUE(loop_.RunUntil([&] { return calls_ == 1; }));
  ASSERT_THAT(result_, IsOk());
  uint8_t buffer[16];
  IoResult read = (*result_)->Read(absl::MakeSpan(buffer));
  EXPECT_EQ(std::string(reinterpret_cast<char*>(buffer), read.bytes), "hello");
  if (read.status == IoStatus::kOk) read = (*result_)->Read(absl::MakeSpan(buffer));
  EXPECT_EQ(read.status, IoStatus::kError);
  EXPECT_TRUE(IsRoutineDisconnect((*result_)->error()));
  EXPECT_EQ((*result_)->Write(absl::MakeConstSpan(buffer, 1)).status, IoStatus::kError);
}

TEST_F(TcpStreamTest, GivesUpAtTheDeadline) {
  // A listener whose queue is full drops what else comes: nothing answers.
  UniqueFd full = *NewStreamSocket(AF_INET);
  sockaddr_storage storage;
  socklen_t size = SocketAddress::Parse("127.0.0.1:0")->ToSockaddr(&storage);
  ASSERT_EQ(bind(full.get(), reinterpret_cast<sockaddr*>(&storage), size), 0);
  ASSERT_EQ(listen(full.get(), 0), 0);
  const SocketAddress address = *LocalSocketAddress(full.get());
  auto filler = Connect(address);
  ASSERT_TRUE(loop_.RunUntil([&] { return calls_ == 1; }));
  ASSERT_THAT(result_, IsOk());
  const std::unique_ptr<TcpStream> kept = *std::move(result_);
  calls_ = 0;
  auto attempt = Connect(address);
  loop_.AdvanceTime(absl::Seconds(9));
  EXPECT_EQ(calls_, 0);
  loop_.AdvanceTime(absl::Seconds(1));
  EXPECT_EQ(calls_, 1);
  EXPECT_THAT(result_,
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr(address.ToString())));
}

TEST_F(TcpStreamTest, AbandonsAnAttemptThatIsDestroyed) {
  Listen();
  auto attempt = Connect(listener_->address());
  attempt.reset();
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_EQ(calls_, 0);
}

TEST_F(TcpStreamTest, ResetsWhatAnAttemptThatIsDestroyedHasOpened) {
  // Without a turn of the loop in between: the kernel alone has made the connection.
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(listen(listener.get(), 1), 0);
  const SocketAddress address =
      *SocketAddress::Parse(absl::StrCat("127.0.0.1:", LocalSocketAddress(listener.get())->port()));
  Connect(address).reset();
  const UniqueFd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  char byte = 0;
  EXPECT_EQ(recv(accepted.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(TcpStreamTest, LetsTheCallbackDestroyTheAttempt) {
  Listen();
  std::unique_ptr<TcpStream::Attempt> attempt;
  bool called = false;
  attempt = TcpStream::Connect(&loop_, listener_->address(), TcpStream::ConnectOptions(),
                               [&](absl::StatusOr<std::unique_ptr<TcpStream>> stream) {
                                 attempt.reset();
                                 called = stream.ok();
                               });
  EXPECT_TRUE(loop_.RunUntil([&] { return called; }));
}

TEST_F(TcpStreamTest, LosesNoUrgentByte) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  ASSERT_EQ(send((*result_)->fd(), "ab", 2, MSG_OOB), 2);
  ASSERT_EQ(send((*result_)->fd(), "cd", 2, 0), 2);
  std::string received;
  ASSERT_TRUE(loop_.RunUntil([&] {
    uint8_t buffer[16];
    IoResult result = accepted_->Read(absl::MakeSpan(buffer));
    received.append(reinterpret_cast<char*>(buffer), result.bytes);
    return received.size() == 4;
  }));
  EXPECT_EQ(received, "abcd");
}

// Data of several kinds, with or without a turn of the loop after each part: whatever an edge has
// told of by then, nothing is left in the kernel.
TEST_F(TcpStreamTest, LeavesNothingUnreadBehindAReadThatIsNotFilled) {
  enum Part { kData, kUrgent, kRead };
  const std::vector<Part> parts = {kData, kUrgent, kRead, kData, kRead, kUrgent, kData, kRead};
  for (int turns = 0; turns < 1 << parts.size(); ++turns) {
    Listen();
    calls_ = 0;
    accepted_.reset();
    auto attempt = Connect(listener_->address());
    ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
    std::string sent;
    std::string received;
    IoStatus status = IoStatus::kOk;
    const auto read = [&] {
      uint8_t buffer[64];
      const IoResult result = accepted_->Read(absl::MakeSpan(buffer));
      received.append(reinterpret_cast<char*>(buffer), result.bytes);
      status = result.status;
    };
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i] == kRead) {
        read();
      } else {
        const std::string bytes = {static_cast<char>('a' + 2 * i), static_cast<char>('b' + 2 * i)};
        ASSERT_EQ(send((*result_)->fd(), bytes.data(), 2, parts[i] == kUrgent ? MSG_OOB : 0), 2);
        sent += bytes;
      }
      if ((turns >> i & 1) != 0) loop_.RunUntilIdle();
    }
    (*result_)->ShutdownWrite();
    ASSERT_TRUE(loop_.RunUntil([&] {
      read();
      return status == IoStatus::kEof;
    }));
    EXPECT_EQ(received, sent);
  }
}

TEST_F(TcpStreamTest, ReadsWhatNoEdgeHasToldOfYet) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  uint8_t buffer[16];
  const auto read = [&] { return accepted_->Read(absl::MakeSpan(buffer)); };
  loop_.RunUntilIdle();
  EXPECT_EQ(read().status, IoStatus::kWouldBlock);
  ASSERT_EQ(send((*result_)->fd(), "data", 4, 0), 4);
  pollfd there = {accepted_->fd(), POLLIN, 0};
  ASSERT_EQ(poll(&there, 1, 10000), 1);
  // No edge has told of it, but whoever asks wants to know what there is.
  const IoResult all = read();
  EXPECT_EQ(all.bytes, 4u);
  EXPECT_EQ(all.status, IoStatus::kWouldBlock);
  // A filled buffer says nothing about what is behind it.
  ASSERT_EQ(send((*result_)->fd(), "sixteen bytes...", 16, 0), 16);
  IoResult filled;
  ASSERT_TRUE(loop_.RunUntil([&] {
    filled = read();
    return filled.bytes > 0;
  }));
  EXPECT_EQ(filled.bytes, 16u);
  EXPECT_EQ(filled.status, IoStatus::kOk);
}

// recv() of a Unix socket ends where descriptors come with the bytes, and no edge tells of the
// rest.
TEST_F(TcpStreamTest, ReadsOnBehindDescriptorsThatComeByAUnixSocket) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  UniqueFd peer(fds[1]);
  ASSERT_OK_AND_ASSIGN(const auto stream, TcpStream::Create(&loop_, UniqueFd(fds[0])));
  char two[] = "ab";
  iovec part = {two, 2};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fds[1], sizeof(int));
  ASSERT_EQ(sendmsg(peer.get(), &message, 0), 2);
  ASSERT_EQ(send(peer.get(), "cd", 2, 0), 2);
  loop_.RunUntilIdle();
  uint8_t buffer[16];
  EXPECT_EQ(stream->Read(absl::MakeSpan(buffer)).bytes, 2u);
  EXPECT_EQ(stream->Read(absl::MakeSpan(buffer)).bytes, 2u);
}

TEST_F(TcpStreamTest, TellsWhoDoesNotReadOfALossAloneAndOnlyWhereAsked) {
  for (const bool asked : {true, false}) {
    SCOPED_TRACE(asked);
    Listen();
    auto attempt = Connect(listener_->address());
    ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && (*result_) != nullptr; }));
    struct : ByteStream::Observer {
      void OnReadable() override { ++readable; }
      void OnWritable() override {}
      int readable = 0;
    } observer;
    accepted_->HearOfLoss(asked);
    accepted_->SetObserver(&observer);
    const uint8_t byte[] = {'x'};
    ASSERT_EQ((*result_)->Write(byte).bytes, 1u);
    ASSERT_TRUE(loop_.RunUntil([&] { return observer.readable == 1; }));
    ASSERT_EQ((*result_)->Write(byte).bytes, 1u);
    ASSERT_TRUE(loop_.RunUntil([&] { return UnreadBytes(accepted_->fd()) == 2; }));
    loop_.RunUntilIdle();
    EXPECT_FALSE(accepted_->Lost());
    result_->reset();
    ASSERT_TRUE(loop_.RunUntil([&] { return accepted_->Lost(); }));
    EXPECT_EQ(observer.readable, asked ? 2 : 1);
    // What had come is there.
    EXPECT_EQ(UnreadBytes(accepted_->fd()), 2);
    uint8_t buffer[8];
    EXPECT_EQ(accepted_->Read(absl::MakeSpan(buffer)).bytes, 2u);
    EXPECT_EQ(accepted_->Read(absl::MakeSpan(buffer)).status, IoStatus::kError);
    accepted_.reset();
  }
}

TEST_F(TcpStreamTest, IsResetWhenItsProcessDiesBeforeBothDirectionsEnded) {
  const auto reset_on_close = [](int fd) {
    linger option = {};
    socklen_t size = sizeof(option);
    EXPECT_EQ(getsockopt(fd, SOL_SOCKET, SO_LINGER, &option, &size), 0);
    return option.l_onoff == 1 && option.l_linger == 0;
  };
  uint8_t buffer[16];
  // The end that the peer sends first, and the end that it answers with.
  for (const bool peer_first : {true, false}) {
    Listen();
    calls_ = 0;
    accepted_.reset();
    auto attempt = Connect(listener_->address());
    ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
    TcpStream& stream = **result_;
    EXPECT_FALSE(reset_on_close(stream.fd()));
    stream.ResetIfAbandoned();
    const auto end_of_peer = [&] {
      return stream.Read(absl::MakeSpan(buffer)).status == IoStatus::kEof;
    };
    for (const bool by_peer : {peer_first, !peer_first}) {
      EXPECT_TRUE(reset_on_close(stream.fd()));
      if (by_peer) {
        accepted_->ShutdownWrite();
        ASSERT_TRUE(loop_.RunUntil(end_of_peer));
      } else {
        stream.ShutdownWrite();
      }
    }
    EXPECT_FALSE(reset_on_close(stream.fd()));
    result_ = absl::UnknownError("closed");
    ASSERT_TRUE(loop_.RunUntil(
        [&] { return accepted_->Read(absl::MakeSpan(buffer)).status == IoStatus::kEof; }));
  }
}

TEST_F(TcpStreamTest, NeverTakesAResetForAnEndAfterAFailedWrite) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  const uint8_t data[] = {'l', 'a', 's', 't'};
  ASSERT_EQ((*result_)->Write(data).bytes, 4u);
  (*result_)->Reset();
  for (int i = 0; i < 100 && !(*result_)->Flushed(); ++i) loop_.AdvanceTime(absl::Milliseconds(5));
  ASSERT_TRUE((*result_)->Flushed());
  // The write takes the kernel's error away; what follows the data would look like a clean end.
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_->Write(data).status == IoStatus::kError; }));
  uint8_t buffer[16];
  EXPECT_EQ(accepted_->Read(absl::MakeSpan(buffer)).bytes, 4u);
  EXPECT_EQ(accepted_->Read(absl::MakeSpan(buffer)).status, IoStatus::kError);
  EXPECT_THAT(accepted_->error(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TcpStreamTest, ResetsAfterFiveSecondsWhenThePeerNeverReads) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  Fill(**result_);
  (*result_)->Reset();
  loop_.AdvanceTime(absl::Seconds(4));
  EXPECT_FALSE((*result_)->Flushed());
  loop_.AdvanceTime(absl::Milliseconds(1200));
  EXPECT_TRUE((*result_)->Flushed());
  EXPECT_EQ((*result_)->fd(), -1);
}

TEST_F(TcpStreamTest, ResetsNoPeerThatReadsOn) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  Fill(**result_);
  (*result_)->Reset();
  std::string buffer(64 * 1024, 0);
  const auto room = absl::MakeSpan(reinterpret_cast<uint8_t*>(&buffer[0]), buffer.size());
  for (int i = 0; i < 5; ++i) {
    const uint64_t before = (*result_)->Undelivered();
    ASSERT_TRUE(loop_.RunUntil([&] {
      accepted_->Read(room);
      return (*result_)->Undelivered() < before;
    }));
    loop_.AdvanceTime(absl::Seconds(4));
    ASSERT_FALSE((*result_)->Flushed()) << i;
  }
  loop_.AdvanceTime(absl::Milliseconds(1200));
  EXPECT_TRUE((*result_)->Flushed());
}

TEST_F(TcpStreamTest, KnowsWhatASlowReaderHasNotTaken) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  TcpStream& writer = **result_;
  EXPECT_EQ(writer.Undelivered(), 0u);
  Fill(writer);
  writer.ShutdownWrite();
  EXPECT_TRUE(writer.Flushed()) << "this process holds nothing";
  EXPECT_GT(writer.Undelivered(), 0u);
  uint8_t buffer[4096];
  ASSERT_TRUE(loop_.RunUntil([&] {
    IoResult result;
    do {
      result = accepted_->Read(absl::MakeSpan(buffer));
    } while (result.bytes > 0);
    return result.status == IoStatus::kEof;
  }));
  EXPECT_TRUE(loop_.RunUntil([&] { return writer.Undelivered() == 0; }));
}

TEST_F(TcpStreamTest, KnowsWhenThePeersHostWasHeardOf) {
  Listen();
  auto attempt = Connect(listener_->address());
  ASSERT_TRUE(loop_.RunUntil([&] { return accepted_ != nullptr && calls_ == 1; }));
  TcpStream& stream = **result_;
  EXPECT_LT(stream.Unheard(), absl::Minutes(1));
  EXPECT_LT(accepted_->Unheard(), absl::Minutes(1));
  stream.Reset();
  EXPECT_EQ(stream.Unheard(), absl::InfiniteDuration()) << "it is gone";

  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  const UniqueFd peer(fds[1]);
  ASSERT_OK_AND_ASSIGN(const auto local, TcpStream::Create(&loop_, UniqueFd(fds[0])));
  EXPECT_EQ(local->Unheard(), absl::InfiniteDuration()) << "nobody asks";
}

TEST_F(TcpStreamTest, IsSmall) {
  // An idle connection's memory is budgeted; this and its watch are all there is.
  EXPECT_LE(sizeof(TcpStream), 80u);
}

TEST(SocketTest, TellsRoutineDisconnectsFromFaults) {
  for (int error : {ECONNRESET, EPIPE, ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH}) {
    EXPECT_TRUE(IsRoutineDisconnect(ConnectionError(error, "x"))) << error;
  }
  for (int error : {EMFILE, ENOMEM, EBADF, EINVAL}) {
    EXPECT_FALSE(IsRoutineDisconnect(ConnectionError(error, "x"))) << error;
  }
}

}  // namespace
}  // namespace byrnie
