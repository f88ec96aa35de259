#include "controlplane/registry/change_checker.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_matchers.h"
#include "controlplane/registry/static_parser.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Texts = std::vector<std::string>;

std::string Workload(const std::string& uid, const std::string& ip, const std::string& more = "") {
  return absl::StrCat("{\"uid\":\"", uid, "\",\"name\":\"", uid,
                      "\",\"namespace\":\"n\",\"service_account\":\"s\",\"addresses\":[\"", ip,
                      "\"]", more, "}");
}

std::string Service(const std::string& name, const std::string& ip, int port) {
  return absl::StrCat("{\"name\":\"", name, "\",\"namespace\":\"n\",\"hostname\":\"", name,
                      "\",\"addresses\":[\"", ip, "\"],\"ports\":[{\"service_port\":", port, "}]}");
}

std::string Policy(const std::string& name, const std::string& scope) {
  return absl::StrCat("{\"name\":\"", name, "\",\"namespace\":\"n\",\"scope\":\"", scope,
                      "\",\"action\":\"DENY\"}");
}

class ChangeCheckerTest : public ::testing::Test {
 protected:
  static ResourceList List(RegistrySource source, const Texts& workloads, const Texts& services,
                           const Texts& policies) {
    const auto content =
        ParseRegistryFile(absl::StrCat("{\"workloads\":[", absl::StrJoin(workloads, ","),
                                       "],\"services\":[", absl::StrJoin(services, ","),
                                       "],\"policies\":[", absl::StrJoin(policies, ","), "]}"),
                          "td");
    EXPECT_THAT(content, IsOk());
    auto list = ResourceList::Create(source, *content);
    EXPECT_THAT(list, IsOk());
    return *std::move(list);
  }
  // A source says this, and nothing else from now on.
  absl::Status Say(RegistrySource source, const Texts& workloads, const Texts& services = {},
                   const Texts& policies = {}) {
    const auto change = ChangeTo(*snapshot_, List(source, workloads, services, policies));
    return change.ok() ? Make(*change) : change.status();
  }
  // It says this, too.
  absl::Status Put(RegistrySource source, const Texts& workloads, const Texts& services = {},
                   const Texts& policies = {}) {
    RegistryChange change;
    change.put = List(source, workloads, services, policies).entries();
    return Make(change);
  }
  absl::Status Remove(ResourceType type, const std::string& name) {
    RegistryChange change;
    change.removed = {snapshot_->Get(type, name)};
    return Make(change);
  }
  absl::Status Make(const RegistryChange& change) {
    const absl::Status checked = CheckChange(*snapshot_, change);
    changed_ = change.put.size() + change.removed.size();
    if (checked.ok()) snapshot_ = snapshot_->With(change);
    return checked;
  }
  static constexpr RegistrySource kFile = RegistrySource::kFile;
  static constexpr RegistrySource kEntries = RegistrySource::kApiEntries;

  RegistrySnapshotPtr snapshot_ = RegistrySnapshot::Empty();
  size_t changed_ = 0;
};

TEST_F(ChangeCheckerTest, OfAWholeOnlyWhatIsDifferentIsChanged) {
  ASSERT_THAT(Say(kFile, {Workload("a", "10.0.0.1"), Workload("b", "10.0.0.2")}), IsOk());
  ASSERT_THAT(Put(kEntries, {Workload("c", "10.0.0.3")}), IsOk());
  ASSERT_THAT(Say(kFile, {Workload("a", "10.0.0.1"), Workload("b", "10.0.0.4")}), IsOk());
  EXPECT_EQ(changed_, 1u);
  ASSERT_THAT(Say(kFile, {Workload("a", "10.0.0.1")}), IsOk());
  EXPECT_EQ(changed_, 1u);
  EXPECT_EQ(snapshot_->workload_count(), 2u);
  EXPECT_EQ(snapshot_->AtAddress("/10.0.0.4"), nullptr);
  EXPECT_EQ(snapshot_->AtAddress("/10.0.0.3")->name, "c");
}

TEST_F(ChangeCheckerTest, TwoSourcesThatSayTheSameAreBothNamed) {
  ASSERT_THAT(Say(kFile, {Workload("a", "10.0.0.1")}, {Service("s", "10.1.0.1", 80)}), IsOk());
  EXPECT_THAT(Put(kEntries, {Workload("a", "10.0.0.9")}),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       AllOf(HasSubstr("workload \"a\" is in the registry file and was applied "
                                       "through the API"),
                             HasSubstr("byrniectl workloads delete"))));
  EXPECT_THAT(Put(kEntries, {}, {Service("s", "10.1.0.9", 80)}),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("byrniectl services delete")));
  EXPECT_THAT(Put(kEntries, {Workload("b", "10.0.0.1")}),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       AllOf(HasSubstr("address 10.0.0.1 belongs to workload \"a\" of the registry "
                                       "file"),
                             HasSubstr("workload \"b\" that was applied through the API"))));
  EXPECT_THAT(Put(kEntries, {Workload("b", "10.1.0.1")}),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("service \"n/s\"")));
  EXPECT_EQ(snapshot_->workload_count(), 1u);
}

TEST_F(ChangeCheckerTest, AnAddressMayMoveWithinOneChange) {
  ASSERT_THAT(Put(kEntries, {Workload("a", "10.0.0.1"), Workload("b", "10.0.0.2")}), IsOk());
  EXPECT_THAT(Put(kEntries, {Workload("b", "10.0.0.1")}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("belongs to workload \"a\"")));
  ASSERT_THAT(Put(kEntries, {Workload("a", "10.0.0.2"), Workload("b", "10.0.0.1")}), IsOk());
  EXPECT_EQ(snapshot_->AtAddress("/10.0.0.1")->name, "b");
  EXPECT_EQ(snapshot_->AtAddress("/10.0.0.2")->name, "a");
  EXPECT_THAT(Put(kEntries, {Workload("c", "10.0.0.3"), Workload("d", "10.0.0.3")}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("belongs to workloads[0]")));
  EXPECT_THAT(Put(kEntries, {Workload("c", "10.0.0.3"), Workload("c", "10.0.0.4")}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("workloads[0] already")));
}

TEST_F(ChangeCheckerTest, AKeyIsAWorkloadsOrAServices) {
  ASSERT_THAT(Put(kEntries, {}, {Service("s", "10.1.0.1", 80)}), IsOk());
  EXPECT_THAT(Put(kEntries, {"{\"uid\":\"n/s\",\"name\":\"w\",\"namespace\":\"n\","
                             "\"service_account\":\"s\",\"addresses\":[\"10.0.0.1\"]}"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is the key of service")));
}

TEST_F(ChangeCheckerTest, NothingIsLeftInTheAir) {
  ASSERT_THAT(Put(kEntries, {}, {Service("s", "10.1.0.1", 80)}), IsOk());
  ASSERT_THAT(Put(RegistrySource::kApi, {}, {}, {Policy("p", "WORKLOAD_SELECTOR")}), IsOk());
  ASSERT_THAT(Say(kFile, {Workload("w", "10.0.0.1",
                                   ",\"services\":{\"n/s\":[{\"service_port\":80}]},"
                                   "\"authorization_policies\":[\"n/p\"]")}),
              IsOk());
  const std::string left = "workload \"w\" of the registry file: ";
  EXPECT_THAT(Remove(ResourceType::kAddress, "n/s"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr(left + "services: there is no service \"n/s\"")));
  EXPECT_THAT(Put(kEntries, {}, {Service("s", "10.1.0.1", 81)}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr(left + "services: \"n/s\" has no service_port 80")));
  EXPECT_THAT(Remove(ResourceType::kAuthorization, "n/p"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr(left + "authorization_policies: there is no policy \"n/p\"")));
  EXPECT_THAT(Put(RegistrySource::kApi, {}, {}, {Policy("p", "GLOBAL")}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without being named")));
  // Once nobody refers to them they may go.
  ASSERT_THAT(Say(kFile, {Workload("w", "10.0.0.1")}), IsOk());
  EXPECT_THAT(Remove(ResourceType::kAddress, "n/s"), IsOk());
  EXPECT_THAT(Remove(ResourceType::kAuthorization, "n/p"), IsOk());
  EXPECT_EQ(snapshot_->service_count(), 0u);
}

TEST_F(ChangeCheckerTest, WhatComesTogetherMayReferToEachOther) {
  const std::string refers = ",\"services\":{\"n/s\":[{\"service_port\":80}]}";
  EXPECT_THAT(Put(kEntries, {Workload("w", "10.0.0.1", refers)}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("workloads[0]: services: there is no service \"n/s\"")));
  ASSERT_THAT(Put(kEntries, {Workload("w", "10.0.0.1", refers)}, {Service("s", "10.1.0.1", 80)}),
              IsOk());
  EXPECT_EQ(snapshot_->Resolve(ResourceType::kAddress, "/10.1.0.1").size(), 2u);
  // A workload that is changed is found with its service as it now is.
  ASSERT_THAT(Put(kEntries, {Workload("w", "10.0.0.2", refers)}), IsOk());
  EXPECT_EQ(snapshot_->Resolve(ResourceType::kAddress, "n/s")[1]->aliases[0], "/10.0.0.2");
  ASSERT_THAT(Put(kEntries, {Workload("w", "10.0.0.2")}), IsOk());
  EXPECT_EQ(snapshot_->Resolve(ResourceType::kAddress, "n/s").size(), 1u);
}

}  // namespace
}  // namespace byrnie
