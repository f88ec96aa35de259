#include "deploy/injector/image_reference.h"

#include <string>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

TEST(ImageReferenceTest, TakesWhatKubeletsTake) {
  const std::string sha256 = "@sha256:" + std::string(64, 'a');
  for (const std::string& good :
       {std::string("byrnie"), std::string("byrnie:0.1.0"), std::string("library/byrnie:latest"),
        std::string("registry.example/a/b-c/d_e/f__g/h--i:V1_x.y-z"),
        std::string("registry.example:5000/byrnie"), std::string("localhost/byrnie"),
        std::string("localhost:5000/byrnie:1"), std::string("Registry/byrnie:1"),
        std::string("10.0.0.1:5000/byrnie"), std::string("[fd00::1]:5000/byrnie:1"),
        std::string("[::1]/byrnie"), "byrnie" + sha256, "registry.example:5000/a/byrnie:1" + sha256,
        "byrnie@other+more.x:" + std::string(32, '0'), "byrnie:" + std::string(128, 'a'),
        std::string(255, 'a')}) {
    EXPECT_THAT(CheckImageReference(good), IsOk()) << good;
  }
}

TEST(ImageReferenceTest, RefusesWhatEndsAsInvalidImageName) {
  const std::pair<std::string, const char*> kWrong[] = {
      {"", "empty"},
      {":", "no tag"},
      {"byrnie:", "no tag"},
      {":tag", "no name"},
      {"byrnie:-a", "no tag"},
      {"byrnie:a:b", "no tag"},
      {"byrnie:" + std::string(129, 'a'), "no tag"},
      {"a//b", "no name"},
      {"/b", "no name"},
      {"a/", "no name"},
      {"registry.example/", "no name"},
      {"UPPER:TAG", "no name"},
      {"a/Upper", "no name"},
      {"registry.example/a/Upper:1", "no name"},
      {"a..b", "no name"},
      {"a___b", "no name"},
      {"a_-b", "no name"},
      {"-a", "no name"},
      {"a.", "no name"},
      {"a b", "no name"},
      {"$(IMAGE)", "no name"},
      {"registry.example:x/a", "no registry"},
      {"registry.example:70000/a", "no registry"},
      {"registry..example/a", "no registry"},
      {"-registry.example/a", "no registry"},
      {"[::1/a", "no registry"},
      {"[::1]5000/a", "no registry"},
      {"https://registry.example/a", "no registry"},
      {"byrnie@", "no digest"},
      {"byrnie@sha256:00", "no digest"},
      {"byrnie@sha256:" + std::string(63, 'a'), "no digest"},
      {"byrnie@sha256:" + std::string(64, 'g'), "no digest"},
      {"byrnie@1a:" + std::string(64, 'a'), "no digest"},
      {std::string(64, 'a'), "number"},
      {std::string(256, 'a'), "255"},
  };
  for (const auto& [text, named] : kWrong) {
    EXPECT_THAT(CheckImageReference(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(named)))
        << text;
  }
}

}  // namespace
}  // namespace byrnie
