#include "test/bench/load/exchange.h"

#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "common/base/status_matchers.h"
#include "common/base/unique_fd.h"
#include "gtest/gtest.h"

namespace byrnie::load {
namespace {

using State = Exchange::State;

class ExchangeTest : public ::testing::Test {
 protected:
  ExchangeTest() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    own_.reset(fds[0]);
    peer_.reset(fds[1]);
  }

  std::string Asked(size_t size) {
    std::string text(size, ' ');
    EXPECT_EQ(read(peer_.get(), &text[0], size), static_cast<ssize_t>(size));
    return text;
  }
  void Answer(const std::string& text) {
    EXPECT_EQ(write(peer_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  UniqueFd own_;
  UniqueFd peer_;
};

TEST_F(ExchangeTest, TakesAnAnswerInPieces) {
  Exchange exchange(1024);
  ASSERT_THAT(exchange.Ask(own_.get()), IsOk());
  const std::string question = Asked(1024);
  EXPECT_EQ(exchange.Receive(own_.get()), State::kWaiting);
  Answer(question.substr(0, 1));
  EXPECT_EQ(exchange.Receive(own_.get()), State::kWaiting);
  Answer(question.substr(1));
  EXPECT_EQ(exchange.Receive(own_.get()), State::kAnswered);
}

TEST_F(ExchangeTest, NoQuestionIsLikeAnother) {
  Exchange exchange(8);
  Exchange other(8);
  ASSERT_THAT(exchange.Ask(own_.get()), IsOk());
  ASSERT_THAT(other.Ask(own_.get()), IsOk());
  const std::string first = Asked(8);
  const std::string second = Asked(8);
  EXPECT_NE(first, second);
  Answer(second);
  EXPECT_EQ(exchange.Receive(own_.get()), State::kFailed);
  EXPECT_THAT(exchange.error(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ExchangeTest, AskedAgainItWaitsForTheNewAnswer) {
  Exchange exchange(8);
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(exchange.Ask(own_.get()), IsOk());
    Answer(Asked(8));
    EXPECT_EQ(exchange.Receive(own_.get()), State::kAnswered);
  }
}

TEST_F(ExchangeTest, AnEndIsAFailure) {
  Exchange exchange(8);
  ASSERT_THAT(exchange.Ask(own_.get()), IsOk());
  Answer(Asked(8).substr(0, 3));
  peer_.reset();
  EXPECT_EQ(exchange.Receive(own_.get()), State::kWaiting);
  EXPECT_EQ(exchange.Receive(own_.get()), State::kFailed);
  EXPECT_THAT(exchange.error(),
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("after 3 bytes")));
}

TEST_F(ExchangeTest, SaysThatNothingCanBeSent) {
  Exchange exchange(8);
  peer_.reset();
  EXPECT_THAT(exchange.Ask(own_.get()), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace byrnie::load
