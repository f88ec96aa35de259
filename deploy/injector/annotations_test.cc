#include "deploy/injector/annotations.h"

#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Lt;
using ::testing::SizeIs;

Json Annotated(const std::map<std::string, std::string>& values) {
  Json annotations = Json::object();
  for (const auto& [name, value] : values) annotations[absl::StrCat("byrnie.io/", name)] = value;
  return annotations;
}

absl::StatusOr<PodSettings> Read(const std::map<std::string, std::string>& values) {
  return PodSettings::Create(Annotated(values), {});
}

TEST(AnnotationsTest, BecomeFlagsOfTheContainersTheyAreAbout) {
  ASSERT_OK_AND_ASSIGN(const PodSettings settings,
                       Read({{"log-level", "debug"},
                             {"exclude-inbound-ports", " 22, 9100-9110 "},
                             {"mtls-port-modes", "80=permissive, 81=strict"},
                             {"image", "x"}}));
  EXPECT_THAT(settings.FlagsFor(Sidecar::kAgent), ElementsAre("--log_level=debug"));
  EXPECT_THAT(settings.FlagsFor(Sidecar::kProxy),
              ElementsAre("--mtls_port_modes=80=permissive,81=strict", "--log_level=debug"));
  EXPECT_THAT(settings.FlagsFor(Sidecar::kRedirect),
              ElementsAre("--exclude_inbound_ports=22,9100-9110"));
}

TEST(AnnotationsTest, APodSaysItBeforeTheMesh) {
  ASSERT_OK_AND_ASSIGN(
      const PodSettings settings,
      PodSettings::Create(Annotated({{"log-level", "error"}, {"exclude-uids", ""}}),
                          {{"log-level", "debug"}, {"log-format", "text"}, {"exclude-uids", "0"}}));
  EXPECT_THAT(settings.FlagsFor(Sidecar::kAgent),
              ElementsAre("--log_level=error", "--log_format=text"));
  EXPECT_THAT(settings.FlagsFor(Sidecar::kRedirect), IsEmpty());
}

TEST(AnnotationsTest, AWrongValueIsNamedWithARemedy) {
  const struct {
    const char *name, *value, *remedy;
  } kWrong[] = {
      {"log-level", "loud", "error, warning, info, debug"},
      {"log-level", "", "write one of"},
      {"mtls-mode", "STRICT", "strict, permissive"},
      {"include-inbound-ports", "80,http", "\"http\""},
      {"exclude-inbound-ports", "0", "\"0\""},
      {"exclude-inbound-ports", "15006", "name ports of the application"},
      {"exclude-outbound-ports", "70000", "70000"},
      {"include-outbound-cidrs", "10.0.0.1/8", "first address"},
      {"exclude-outbound-cidrs", "internal", "10.0.0.0/8"},
      {"exclude-outbound-cidrs", "0.0.0.0/0", "let everything out"},
      {"exclude-uids", "root", "\"root\""},
      {"exclude-interfaces", "lo", "eth0"},
      {"mtls-port-modes", "8080", "PORT=strict"},
      {"mtls-port-modes", "80=strict,80=permissive", "write it once"},
      {"mtls-port-modes", "080=strict,80=permissive", "write it once"},
      {"proxy-protocol-ports", "80-90", "8080,8081"},
      {"probe-ports", "http", "8080,8081"},
      {"probe-sources", "node", "10.0.0.0/8"},
      {"probe-sources", "*", "10.0.0.0/8"},
      {"drain-timeout", "0", "from 1ms to 24h"},
      {"drain-timeout", "30", "like 30s"},
      {"idle-timeout", "-1s", "or 0"},
      {"connect-attempts", "11", "from 1 to 10"},
      {"workers", "two", "from 0 to 64"},
      {"image", "a b", "name of an image"},
      {"image", "$(X)", "name of an image"},
      {"image-pull-policy", "always", "Always, IfNotPresent, Never"},
      {"proxy-cpu-limit", "fast", "100m"},
      {"agent-memory-limit", "-1Mi", "64Mi"},
      {"agent-memory-limit", "1e3Mi", "64Mi"},
      {"proxy-memory-limit", "64m", "64Mi"},
      {"hold-application", "yes", "true, false"},
  };
  for (const auto& wrong : kWrong) {
    EXPECT_THAT(Read({{wrong.name, wrong.value}}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(absl::StrCat("annotation byrnie.io/", wrong.name, "=\"",
                                                      wrong.value, "\": ")),
                               HasSubstr(wrong.remedy))));
  }
}

TEST(AnnotationsTest, ALongListIsTakenAndATooLongOneNamed) {
  std::vector<std::string> ports, modes, users, networks;
  for (int i = 0; i < 1000; ++i) {
    ports.push_back(absl::StrCat(20000 + 2 * i));
    modes.push_back(absl::StrCat(20000 + i, "=strict"));
    users.push_back(absl::StrCat(9999 - 2 * i));
    networks.push_back(absl::StrCat("10.", i / 256, ".", i % 256, ".0/24"));
  }
  const std::pair<const char*, std::vector<std::string>*> lists[] = {
      {"exclude-inbound-ports", &ports},
      {"exclude-outbound-ports", &ports},
      {"probe-ports", &ports},
      {"mtls-port-modes", &modes},
      {"exclude-uids", &users},
      {"exclude-gids", &users},
      {"exclude-outbound-cidrs", &networks}};
  std::map<std::string, std::string> all;
  for (const auto& [name, list] : lists) {
    all[name] = absl::StrJoin(*list, ",");
    std::vector<std::string> longer = *list;
    longer.push_back(longer.back());
    const absl::Status status = Read({{name, absl::StrJoin(longer, ",")}}).status();
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has more than 1000 items")))
        << name;
    EXPECT_LT(status.message().size(), 300u);
  }
  EXPECT_THAT(Read(all), IsOk());
}

TEST(AnnotationsTest, ALongValueIsNotRepeated) {
  const std::string text(100000, '1');
  for (const char* const name : {"exclude-uids", "probe-ports", "mtls-port-modes", "workers",
                                 "image", "log-level", "drain-timeout", "exclude-outbound-cidrs"}) {
    const absl::Status status = Read({{name, text}}).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("111...")));
    EXPECT_LT(status.message().size(), 400u) << name;
  }
  Json annotations = Json::object();
  annotations["byrnie.io/workers"] = Json::array({text});
  EXPECT_LT(PodSettings::Create(annotations, {}).status().message().size(), 400u);
  ASSERT_OK_AND_ASSIGN(const PodSettings settings, Read({{text, "1"}}));
  EXPECT_THAT(settings.warnings(), ElementsAre(SizeIs(Lt(200u))));
}

TEST(AnnotationsTest, MoreThanAnApiServerTakesIsRefusedAtOnce) {
  Json annotations = Json::object();
  annotations["example.com/a"] = std::string(kMaxAnnotations - 13, 'x');
  EXPECT_THAT(CheckAnnotationsSize(annotations), IsOk());
  annotations["b"] = "";
  EXPECT_THAT(CheckAnnotationsSize(annotations),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("longer than 262144 bytes")));
}

TEST(AnnotationsTest, EverythingIsWrittenAsIstioDoes) {
  EXPECT_THAT(Read({{"include-inbound-ports", "*"}, {"include-outbound-ports", "*"}}), IsOk());
  EXPECT_THAT(Read({{"include-outbound-cidrs", "*"}}), IsOk());
  EXPECT_THAT(Read({{"include-outbound-cidrs", "0.0.0.0/0"}}), IsOk());
}

TEST(AnnotationsTest, ValuesThatContradictEachOtherAreNamed) {
  EXPECT_THAT(Read({{"include-inbound-ports", "80"}, {"exclude-inbound-ports", "80"}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("byrnie.io/include-inbound-ports and "
                                 "byrnie.io/exclude-inbound-ports both name 80")));
  EXPECT_THAT(Read({{"drain-quiet", "10s"}, {"drain-timeout", "5s"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("byrnie.io/drain-quiet")));
  EXPECT_THAT(Read({{"drain-hold", "10s"}, {"drain-timeout", "5s"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("byrnie.io/drain-timeout")));
  EXPECT_THAT(Read({{"proxy-memory-request", "1Gi"}, {"proxy-memory-limit", "512Mi"}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("byrnie.io/proxy-memory-limit, 512Mi")));
  EXPECT_THAT(Read({{"proxy-memory-request", "1Gi"}, {"proxy-memory-limit", "none"}}), IsOk());
}

TEST(AnnotationsTest, WhatIsNoStringIsNamed) {
  Json annotations = Json::object();
  annotations["byrnie.io/workers"] = 2;
  EXPECT_THAT(PodSettings::Create(annotations, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("put it in quotes")));
}

TEST(AnnotationsTest, WarnsOfOnesThatNobodyKnowsAndLeavesThoseOfOthers) {
  Json annotations = Annotated({{"log-lvl", "debug"}});
  annotations["example.com/log-level"] = "loud";
  ASSERT_OK_AND_ASSIGN(const PodSettings settings, PodSettings::Create(annotations, {}));
  EXPECT_THAT(settings.warnings(), ElementsAre(HasSubstr("byrnie.io/log-lvl")));
  EXPECT_THAT(PodSettings::Create(Json::object(), {{"log-lvl", "debug"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not known")));
}

TEST(AnnotationsTest, ReadsQuantities) {
  EXPECT_EQ(ParseQuantity("100m"), 0.1);
  EXPECT_EQ(ParseQuantity("1.5"), 1.5);
  EXPECT_EQ(ParseQuantity("64Mi"), 64.0 * 1024 * 1024);
  EXPECT_EQ(ParseQuantity("2k"), 2000.0);
  EXPECT_EQ(ParseQuantity("1Pi"), 1024.0 * 1024 * 1024 * 1024 * 1024);
  EXPECT_EQ(ParseQuantity("1E"), 1e18);
  EXPECT_EQ(ParseQuantity("500u"), 5e-4);
  EXPECT_EQ(ParseQuantity("1e3"), 1000.0);
  EXPECT_EQ(ParseQuantity("1.5E-1"), 0.15);
  EXPECT_EQ(ParseQuantity(".5"), 0.5);
  EXPECT_EQ(ParseQuantity("5."), 5.0);
  // What Kubernetes takes no more: "1e3Mi".
  for (const char* text :
       {"",      "0",  "m",   "-1",    "inf",  "1 Mi",  "1MiB",     "e3",   ".",  "1..5",
        "1.5.2", "1e", "1e+", "1e3Mi", "1e3m", "1e1.5", "1e999999", "0x10", "1 ", " 1"}) {
    EXPECT_EQ(ParseQuantity(text), absl::nullopt) << text;
  }
}

// The rows of the table of annotations in docs/kubernetes.md, by their first cells.
TEST(AnnotationsTest, ThePageHasEveryOneAndNoOther) {
  std::ifstream file("docs/kubernetes.md");
  const std::string page{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const size_t begin = page.find("\n## Annotations\n"), end = page.find("\n## ", begin + 1);
  ASSERT_NE(begin, std::string::npos);
  std::vector<std::string> listed, known;
  for (const absl::string_view line : absl::StrSplit(page.substr(begin, end - begin), '\n')) {
    if (!absl::StartsWith(line, "| `")) continue;
    const std::vector<absl::string_view> cells = absl::StrSplit(line, '|');
    const std::vector<absl::string_view> words = absl::StrSplit(cells[1], '`');
    for (size_t i = 1; i < words.size(); i += 2) listed.emplace_back(words[i]);
  }
  for (const Annotation& annotation : Annotations()) known.emplace_back(annotation.name);
  EXPECT_THAT(listed, ::testing::UnorderedElementsAreArray(known));
}

}  // namespace
}  // namespace byrnie
