#include "deploy/injector/injector_config.h"

#include <string>

#include "common/base/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(InjectorConfigTest, IsWhatTheFileSaysOverTheDefaults) {
  ASSERT_OK_AND_ASSIGN(const InjectorConfig config, InjectorConfig::Parse(R"({
      "image": "registry.example:5000/mesh/byrnie@sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
      "image_pull_secrets": ["mesh-registry", "a.b-c"], "control_plane": "cp.mesh.svc:15012",
      "trust_domain": "example.org", "token_audience": "mesh", "token_seconds": 7200,
      "trust_bundle_config_map": "roots", "cluster_id": "c1", "network": "n1", "revision": "canary",
      "deny_refused": true, "locked_annotations": ["mtls-mode", "inject"],
      "defaults": {"log-level": "debug"}})"));
  EXPECT_EQ(config.image,
            "registry.example:5000/mesh/byrnie@sha256:"
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
  EXPECT_THAT(config.image_pull_secrets, ElementsAre("mesh-registry", "a.b-c"));
  EXPECT_EQ(config.control_plane, "cp.mesh.svc:15012");
  EXPECT_EQ(config.token_seconds, 7200);
  EXPECT_EQ(config.network, "n1");
  EXPECT_TRUE(config.deny_refused);
  EXPECT_THAT(config.locked_annotations, ElementsAre("mtls-mode", "inject"));
  EXPECT_EQ(config.defaults.at("log-level"), "debug");
  ASSERT_OK_AND_ASSIGN(const InjectorConfig plain, InjectorConfig::Parse("{}"));
  EXPECT_EQ(plain.control_plane, InjectorConfig().control_plane);
  EXPECT_THAT(InjectorConfig().Check(), IsOk());
}

TEST(InjectorConfigTest, WhatTheFileDoesNotNameStays) {
  InjectorConfig base;
  base.trust_domain = "example.org";
  base.cluster_id = "c1";
  ASSERT_OK_AND_ASSIGN(const InjectorConfig config,
                       InjectorConfig::Parse(R"({"cluster_id": "c2"})", base));
  EXPECT_EQ(config.trust_domain, "example.org");
  EXPECT_EQ(config.cluster_id, "c2");
}

TEST(InjectorConfigTest, RefusesWhatCannotBe) {
  const struct {
    const char *text, *named;
  } kWrong[] = {
      {"[]", "object"},
      {R"({"imge": "x"})", "imge"},
      {R"({"image": ""})", "image"},
      {R"({"locked_annotations": ["byrnie.io/image"]})", "locked_annotations"},
      {R"({"image_pull_secrets": "regcred"})", "image_pull_secrets"},
      {R"({"image_pull_secrets": [1]})", "image_pull_secrets"},
      {R"({"image_pull_secrets": ["Reg_Cred"]})", "image_pull_secrets: \"Reg_Cred\""},
      {R"({"image_pull_secrets": [""]})", "image_pull_secrets"},
      {R"({"image_pull_secrets": ["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a",
                                  "a"]})",
       "more than 16"},
      {R"({"control_plane": "$(HOST):15012"})", "control_plane"},
      {R"({"trust_domain": "a/b"})", "trust_domain"},
      {R"({"token_seconds": 60})", "token_seconds"},
      {R"({"revision": "a b"})", "revision"},
      {R"({"defaults": {"log-level": "loud"}})", "byrnie.io/log-level"},
      {R"({"defaults": {"log-level": 1}})", "log-level"},
      {R"({"defaults": {"nothing": "x"}})", "nothing"},
  };
  for (const auto& wrong : kWrong) {
    EXPECT_THAT(InjectorConfig::Parse(wrong.text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(wrong.named)))
        << wrong.text;
  }
}

// The API server would refuse each new pod of the mesh, or its containers would wait for ever.
TEST(InjectorConfigTest, RefusesWhatNoPodCouldStartWith) {
  const struct {
    const char *member, *value, *remedy;
  } kWrong[] = {
      {"revision", ".", "letter or a digit first and last"},
      {"revision", "-a", "letter or a digit first and last"},
      {"revision", "a_", "letter or a digit first and last"},
      {"revision", "a123456789012345678901234567890123456789012345678901234567890123", "63"},
      {"control_plane", "foo", "byrnie-controlplane.byrnie-system.svc:15012"},
      {"control_plane", "foo.svc:99999", "byrnie-controlplane.byrnie-system.svc:15012"},
      {"control_plane", "a:15012,b", "\"b\" is not HOST:PORT"},
      {"control_plane", ",", "names none"},
      {"trust_domain", "Example.org", "Example.org"},
      {"trust_bundle_config_map", "Foo", "byrnie-trust-bundle"},
      {"trust_bundle_config_map", "...", "byrnie-trust-bundle"},
      {"trust_bundle_config_map", "a.-b", "byrnie-trust-bundle"},
      {"image", ":", "registry.example/byrnie:0.1.0"},
      {"image", "a//b", "registry.example/byrnie:0.1.0"},
      {"image", "UPPER:TAG", "registry.example/byrnie:0.1.0"},
      {"image_pull_secrets", "a..b", "name of a Secret"},
  };
  for (const auto& wrong : kWrong) {
    const bool list = wrong.member == std::string("image_pull_secrets");
    const std::string text = std::string("{\"") + wrong.member + (list ? "\":[\"" : "\":\"") +
                             wrong.value + (list ? "\"]}" : "\"}");
    EXPECT_THAT(InjectorConfig::Parse(text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(wrong.member), HasSubstr(wrong.remedy))))
        << text;
  }
  EXPECT_THAT(InjectorConfig::Parse(R"({"control_plane": "a:15012,[fd00::1]:15012",
      "trust_bundle_config_map": "my.roots-2", "revision": "0-2", "image": "[fd00::1]:5000/b"})"),
              IsOk());
}

}  // namespace
}  // namespace byrnie
