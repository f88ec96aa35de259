#include "controlplane/agents/agent_questions.h"

#include <string>

#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr char kFirst[] = "10.0.0.1:5", kSecond[] = "10.0.0.2:5";

class AgentQuestionsTest : public ::testing::Test {
 protected:
  // What those say that are asked now: whether they have a proxy; absent: they hang.
  std::map<std::string, absl::optional<bool>> says_;
  AgentQuestions::Answers Ask(const std::set<std::string>& addresses,
                              absl::Duration patience = absl::InfiniteDuration()) {
    return questions_.Ask(addresses, patience, [this](const std::set<std::string>& woken) {
      for (const std::string& address : woken) {
        const absl::optional<uint64_t> question = questions_.Take(address);
        ASSERT_TRUE(question.has_value());
        // It is asked once.
        EXPECT_FALSE(questions_.Take(address).has_value());
        if (says_[address].has_value())
          questions_.OnAnswer(address, *question, {*says_[address], false});
      }
    });
  }

  AgentQuestions questions_;
};

TEST_F(AgentQuestionsTest, WhoDoesNotListenIsNotAsked) {
  EXPECT_TRUE(Ask({kFirst}).empty());
  questions_.OnListening(kFirst);
  questions_.OnGone(kFirst);
  EXPECT_TRUE(Ask({kFirst}).empty());
}

// An agent opens the next stream before the former is gone.
TEST_F(AgentQuestionsTest, OneOfTwoStreamsFromAnAddressIsEnough) {
  questions_.OnListening(kFirst);
  questions_.OnListening(kFirst);
  questions_.OnGone(kFirst);
  says_ = {{kFirst, true}};
  EXPECT_TRUE(Ask({kFirst})[kFirst].has_value());
}

TEST_F(AgentQuestionsTest, AnswersAreOfWhoGaveThem) {
  questions_.OnListening(kFirst);
  questions_.OnListening(kSecond);
  says_ = {{kFirst, true}, {kSecond, false}};
  AgentQuestions::Answers answers = Ask({kFirst, kSecond});
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_TRUE(answers[kFirst]->has_proxy);
  EXPECT_FALSE(answers[kSecond]->has_proxy);
  EXPECT_EQ(Ask({kSecond}).size(), 1u);
}

TEST_F(AgentQuestionsTest, OneThatHangsKeepsTheAnswersOfOthers) {
  questions_.OnListening(kFirst);
  questions_.OnListening(kSecond);
  says_ = {{kFirst, true}, {kSecond, absl::nullopt}};
  AgentQuestions::Answers answers = Ask({kFirst, kSecond}, absl::ZeroDuration());
  EXPECT_TRUE(answers[kFirst].has_value());
  ASSERT_EQ(answers.count(kSecond), 1u);
  EXPECT_FALSE(answers[kSecond].has_value());
}

TEST_F(AgentQuestionsTest, AnAnswerToAnEarlierQuestionIsNone) {
  questions_.OnListening(kFirst);
  says_ = {{kFirst, true}};
  EXPECT_TRUE(Ask({kFirst})[kFirst].has_value());
  says_ = {{kFirst, absl::nullopt}};
  questions_.OnAnswer(kFirst, 1, {true, true});
  EXPECT_FALSE(Ask({kFirst}, absl::ZeroDuration())[kFirst].has_value());
  // Nor one to a question that nobody has asked.
  questions_.OnAnswer(kFirst, 99, {true, true});
  EXPECT_FALSE(Ask({kFirst}, absl::ZeroDuration())[kFirst].has_value());
}

// The agent has waited for its proxy longer for the first than for the second.
TEST_F(AgentQuestionsTest, AnEarlierAnswerThatComesLateIsNotThatOfTheLaterQuestion) {
  questions_.OnListening(kFirst);
  const AgentQuestions::Answers answers =
      questions_.Ask({kFirst}, absl::InfiniteDuration(), [this](const std::set<std::string>&) {
        const uint64_t question = *questions_.Take(kFirst);
        questions_.OnAnswer(kFirst, question, {true, true});
        questions_.OnAnswer(kFirst, question - 1, {true, false});
      });
  EXPECT_TRUE(answers.at(kFirst)->proxy_answers);
}

TEST_F(AgentQuestionsTest, WhoGoesAwayMeanwhileIsNotWaitedFor) {
  questions_.OnListening(kFirst);
  const AgentQuestions::Answers answers =
      questions_.Ask({kFirst}, absl::InfiniteDuration(),
                     [this](const std::set<std::string>&) { questions_.OnGone(kFirst); });
  EXPECT_TRUE(answers.empty());
}

}  // namespace
}  // namespace byrnie
