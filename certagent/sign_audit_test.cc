#include "certagent/sign_audit.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/base/unique_fd.h"
#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SignAuditTest : public ::testing::Test {
 protected:
  SignAuditTest() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    read_ = UniqueFd(ends[0]);
    write_ = UniqueFd(ends[1]);
    log_ = std::make_unique<Logger>(write_.get(), Logger::Format::kJson, LogLevel::kInfo);
    audit_ = std::make_unique<SignAudit>(&loop_, log_.get());
  }
  std::vector<std::string> Lines() {
    std::string text(1 << 16, '\0');
    const ssize_t n = read(read_.get(), &text[0], text.size());
    text.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return absl::StrSplit(text, '\n', absl::SkipEmpty());
  }
  void Refuse() {
    audit_->Record("ab12", 0x0401, 7, absl::InvalidArgumentError("no TLS 1.3 input"));
  }

  ManualEventLoop loop_;
  UniqueFd read_, write_;
  std::unique_ptr<Logger> log_;
  std::unique_ptr<SignAudit> audit_;
};

TEST_F(SignAuditTest, WritesALineForEachRefusal) {
  Refuse();
  EXPECT_THAT(Lines(), ElementsAre(AllOf(HasSubstr("\"message\":\"signature refused\""),
                                         HasSubstr("\"reason\":\"no TLS 1.3 input\""),
                                         HasSubstr("\"leaf_sha256\":\"ab12\""),
                                         HasSubstr("\"scheme\":\"0x0401\""),
                                         HasSubstr("\"input_bytes\":7"))));
}

TEST_F(SignAuditTest, SumsUpAMinuteInWhichSomethingWasSigned) {
  for (int i = 0; i < 5; ++i) audit_->Record("ab12", 0x0403, 130, absl::OkStatus());
  EXPECT_THAT(Lines(), IsEmpty());
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_THAT(Lines(), ElementsAre(AllOf(HasSubstr("\"signed\":5"), HasSubstr("\"refused\":0"))));
  loop_.AdvanceTime(absl::Hours(1));
  EXPECT_THAT(Lines(), IsEmpty());
}

TEST_F(SignAuditTest, DoesNotLetRefusalsFillTheLog) {
  for (int i = 0; i < 1000; ++i) Refuse();
  EXPECT_THAT(Lines(), SizeIs(SignAudit::kLinesPerMinute));
  loop_.AdvanceTime(absl::Minutes(1));
  EXPECT_THAT(Lines(), ElementsAre(AllOf(HasSubstr("\"refused\":1000"),
                                         HasSubstr("\"refused_without_a_line\":940"))));
  Refuse();
  EXPECT_THAT(Lines(), SizeIs(1));
}

}  // namespace
}  // namespace byrnie
