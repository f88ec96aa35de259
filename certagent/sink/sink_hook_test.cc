#include "certagent/sink/sink_hook.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

class SinkHookTest : public ::testing::Test {
 protected:
  SinkHookTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/hook-XXXXXX");
    directory_ = mkdtemp(&pattern[0]);
  }
  ~SinkHookTest() override {
    for (const char* name : {"/pid", "/out"}) unlink((directory_ + name).c_str());
    rmdir(directory_.c_str());
  }
  absl::Status SignalPidFile(const std::string& text) {
    EXPECT_THAT(WriteFileAtomically(directory_ + "/pid", text, 0600), IsOk());
    return SendSinkSignal({directory_ + "/pid", SIGUSR1});
  }

  std::string directory_;
};

TEST_F(SinkHookTest, UnderstandsSignals) {
  ASSERT_OK_AND_ASSIGN(SinkSignal signal, ParseSinkSignal("/run/app:1.pid:HUP"));
  EXPECT_EQ(signal.pid_file, "/run/app:1.pid");
  EXPECT_EQ(signal.number, SIGHUP);
  for (const char* bad : {"", "HUP", ":HUP", "/run/app.pid", "/run/app.pid:", "/run/app.pid:KILL",
                          "/run/app.pid:1", "/run/app.pid:hup"}) {
    EXPECT_THAT(ParseSinkSignal(bad).status(), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST_F(SinkHookTest, SignalsTheProcessThatTheFileNames) {
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
  }
  EXPECT_THAT(SignalPidFile(absl::StrCat(child, "\n")), IsOk());
  int end = 0;
  ASSERT_EQ(waitpid(child, &end, 0), child);
  EXPECT_TRUE(WIFSIGNALED(end) && WTERMSIG(end) == SIGUSR1);
  EXPECT_THAT(SignalPidFile(absl::StrCat(child)), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SinkHookTest, SignalsNoGroupNotInitAndNotItself) {
  for (const std::string& bad :
       {std::string("0"), std::string("-1"), std::string("1"), absl::StrCat(getpid()),
        std::string(""), std::string("12x"), std::string("99999999999")}) {
    EXPECT_THAT(SignalPidFile(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
  EXPECT_THAT(SendSinkSignal({directory_ + "/missing", SIGHUP}),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SinkHookTest, RunsAProgramWithItsArgumentsAndNothingElse) {
  setenv("BYRNIE_SECRET", "visible", 1);
  const std::string out = directory_ + "/out";
  EXPECT_THAT(RunSinkCommand({"/bin/sh", "-c",
                              "echo \"$1 ${BYRNIE_SECRET:-unset} $(ls /proc/self/fd | wc -l)\" >$0",
                              out, "two words; $HOME"},
                             absl::Seconds(30)),
              IsOk());
  ASSERT_OK_AND_ASSIGN(std::string text, ReadFile(out, 1000));
  // Input, output, error, and the directory that ls reads; the shell's redirection is not ls's.
  EXPECT_EQ(text, "two words; $HOME unset 4\n");
}

TEST_F(SinkHookTest, SaysHowAProgramEnded) {
  EXPECT_THAT(RunSinkCommand({"/bin/sh", "-c", "exit 3"}, absl::Seconds(30)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("ended with 3")));
  EXPECT_THAT(RunSinkCommand({"/bin/sh", "-c", "kill -9 $$"}, absl::Seconds(30)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("signal 9")));
  EXPECT_THAT(RunSinkCommand({directory_ + "/missing"}, absl::Seconds(30)),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SinkHookTest, EndsAProgramAndItsChildrenInTime) {
  const std::string out = directory_ + "/out";
  EXPECT_THAT(RunSinkCommand({"/bin/sh", "-c", "echo $$ >$0; sleep 1000 & sleep 1000", out},
                             absl::Milliseconds(200)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace byrnie
