#include "test/bench/load/options.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie::load {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<Options> Parse(const std::string& line) {
  return ParseOptions(absl::StrSplit(line, ' ', absl::SkipEmpty()));
}

TEST(OptionsTest, ReadsWhatServeNeeds) {
  const absl::StatusOr<Options> options = Parse("serve --echo_port=8080 --bulk_port=8081");
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->workload, Workload::kServe);
  EXPECT_EQ(options->echo_port, 8080);
  EXPECT_EQ(options->bulk_port, 8081);
}

TEST(OptionsTest, ReadsABulkTransfer) {
  const absl::StatusOr<Options> options =
      Parse("bulk --to=10.0.0.1:80 --direction=down --connections=8 --bytes=1073741824");
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->workload, Workload::kBulk);
  EXPECT_EQ(options->to.ToString(), "10.0.0.1:80");
  EXPECT_FALSE(options->upload);
  EXPECT_EQ(options->connections, 8);
  EXPECT_EQ(options->bytes, uint64_t{1} << 30);
}

TEST(OptionsTest, ReadsRequestsAtARate) {
  const absl::StatusOr<Options> options = Parse(
      "request --to=[fd77::3]:80 --size=1024 --rate=2000 --window=10s --warm_up=0 --cpu_of=1,23");
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->workload, Workload::kRequest);
  EXPECT_EQ(options->size, 1024u);
  EXPECT_EQ(options->rate, 2000);
  EXPECT_EQ(options->window, absl::Seconds(10));
  EXPECT_EQ(options->warm_up, absl::ZeroDuration());
  EXPECT_THAT(options->cpu_of, ElementsAre(1, 23));
}

TEST(OptionsTest, HasDefaults) {
  const absl::StatusOr<Options> options = Parse("connect --to=10.0.0.1:80");
  ASSERT_THAT(options, IsOk());
  EXPECT_EQ(options->connections, 1);
  EXPECT_EQ(options->size, 64u);
  EXPECT_EQ(options->rate, 0);
  EXPECT_THAT(options->cpu_of, ElementsAre());
}

TEST(OptionsTest, NamesWhatIsWrong) {
  const struct {
    const char* line;
    const char* said;
  } cases[] = {
      {"", "no workload"},
      {"fly", "fly is none of"},
      {"serve --echo_port=8080", "needs --echo_port and --bulk_port"},
      {"serve --echo_port=0 --bulk_port=1", "--echo_port=0"},
      {"serve --echo_port=65536 --bulk_port=1", "--echo_port=65536"},
      {"connect", "--to"},
      {"connect --to=nowhere:80", "nowhere"},
      {"connect --to=10.0.0.1:80 extra", "extra is not of the form"},
      {"connect --to=10.0.0.1:80 --size", "--size is not of the form"},
      {"connect --to=10.0.0.1:80 --size=7", "--size=7"},
      {"connect --to=10.0.0.1:80 --size=64x", "--size=64x"},
      {"connect --to=10.0.0.1:80 --connections=0", "--connections=0"},
      {"connect --to=10.0.0.1:80 --window=-1s", "--window=-1s"},
      {"connect --to=10.0.0.1:80 --window=5", "--window=5"},
      {"connect --to=10.0.0.1:80 --cpu_of=1,x", "--cpu_of=x"},
      {"connect --to=10.0.0.1:80 --colour=red", "no flag --colour"},
      {"request --to=10.0.0.1:80 --rate=0", "--rate=0"},
      {"request --to=10.0.0.1:80 --rate=nan", "--rate=nan"},
      {"bulk --to=10.0.0.1:80", "needs --bytes"},
      {"bulk --to=10.0.0.1:80 --bytes=1 --connections=2", "needs --bytes"},
      {"bulk --to=10.0.0.1:80 --bytes=9 --direction=left", "--direction=left"},
  };
  for (const auto& [line, said] : cases) {
    const absl::StatusOr<Options> options = Parse(line);
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_THAT(options.status().message(), HasSubstr(said)) << line;
  }
}

}  // namespace
}  // namespace byrnie::load
