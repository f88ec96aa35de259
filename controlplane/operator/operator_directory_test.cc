#include "controlplane/operator/operator_directory.h"

#include <string>
#include <thread>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/token/bearer_token.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kAlice[] = "spiffe://cluster.local/ns/ops/sa/alice";

class OperatorDirectoryTest : public ::testing::Test {
 protected:
  std::string Make(const std::string& name, Role role, absl::Duration ttl = absl::Hours(1)) {
    auto created = directory_.Create(name, role, ttl, "me");
    EXPECT_THAT(created, IsOk());
    return std::string(created->secret.view());
  }
  bool IsStillValid(const Caller& caller) { return directory_.AreStillValid({caller}).at(0); }

  FakeClock clock_;
  MemoryStore store_;
  RecordTable table_{&store_, "operators/"};
  OperatorDirectory directory_{HashBearerToken("first"),
                               OperatorIdentities{{kAlice, Role::kOperator}}, &table_, &clock_};
};

TEST_F(OperatorDirectoryTest, TheFirstTokenIsAnAdmin) {
  auto caller = directory_.ByToken("first");
  ASSERT_THAT(caller, IsOk());
  EXPECT_EQ(caller->role, Role::kAdmin);
  EXPECT_EQ(caller->name, OperatorDirectory::kFirstToken);
}

TEST_F(OperatorDirectoryTest, WithoutAFirstTokenTheEmptyOneOpensNothing) {
  OperatorDirectory none("", {}, &table_, &clock_);
  EXPECT_THAT(none.ByToken(""), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(none.ByToken("first"), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(OperatorDirectoryTest, ATokenHasItsNameAndItsRoleUntilItEnds) {
  const std::string secret = Make("bob", Role::kViewer);
  auto caller = directory_.ByToken(secret);
  ASSERT_THAT(caller, IsOk());
  EXPECT_EQ(caller->name, "bob");
  EXPECT_EQ(caller->role, Role::kViewer);
  EXPECT_TRUE(IsStillValid(*caller));
  clock_.Advance(absl::Hours(1));
  EXPECT_THAT(directory_.ByToken(secret), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_FALSE(IsStillValid(*caller));
  EXPECT_THAT(*directory_.List(), IsEmpty());
}

TEST_F(OperatorDirectoryTest, ARevokedTokenOpensNothing) {
  const std::string secret = Make("bob", Role::kAdmin);
  const Caller caller = *directory_.ByToken(secret);
  ASSERT_THAT(directory_.Revoke("bob"), IsOk());
  EXPECT_THAT(directory_.ByToken(secret), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_FALSE(IsStillValid(caller));
  EXPECT_THAT(directory_.Revoke("bob"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(OperatorDirectoryTest, ASecretThatIsGivenInThePlaceOfItsNameIsThatToken) {
  const std::string secret = Make("bob", Role::kAdmin);
  EXPECT_THAT(directory_.NameFrom(secret), IsOkAndHolds("bob"));
  EXPECT_THAT(directory_.NameFrom("first"), IsOkAndHolds(OperatorDirectory::kFirstToken));
  EXPECT_THAT(directory_.NameFrom("bob"), IsOkAndHolds("bob"));
  EXPECT_THAT(directory_.NameFrom("nobody"), IsOkAndHolds("nobody"));
}

// Else it is in every log as the name of a token.
TEST_F(OperatorDirectoryTest, NoTokenIsCalledByTheSecretOfOne) {
  const std::string secret = Make("bob", Role::kAdmin);
  EXPECT_THAT(directory_.Create(secret, Role::kViewer, absl::nullopt, "me"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("the token of bob"), Not(HasSubstr(secret)))));
  EXPECT_THAT(
      directory_.Create("first", Role::kViewer, absl::nullopt, "me"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(OperatorDirectory::kFirstToken)));
  EXPECT_THAT(store_.Count("operators/"), IsOkAndHolds(1));
}

TEST_F(OperatorDirectoryTest, WhatMayBeASecretIsNotRepeated) {
  EXPECT_EQ(OperatorDirectory::Harmless("bob"), "bob");
  const std::string secret(GenerateBearerToken().view());
  EXPECT_THAT(OperatorDirectory::Harmless(secret),
              AllOf(HasSubstr("sha256:"), Not(HasSubstr(secret))));
  EXPECT_THAT(directory_.Revoke(secret),
              StatusIs(absl::StatusCode::kNotFound, Not(HasSubstr(secret))));
}

// Nor does what was opened with it go on, because somebody has made another of its name and role.
TEST_F(OperatorDirectoryTest, ATokenIsNotTheNextOneOfItsName) {
  const Caller before = *directory_.ByToken(Make("bob", Role::kViewer));
  ASSERT_THAT(directory_.Revoke("bob"), IsOk());
  const Caller after = *directory_.ByToken(Make("bob", Role::kViewer));
  EXPECT_EQ(directory_.AreStillValid({before, after}), (std::vector<bool>{false, true}));
}

TEST_F(OperatorDirectoryTest, TheFirstTokenThatWasReplacedIsNobodysAnyMore) {
  const Caller before = *directory_.ByToken("first");
  EXPECT_TRUE(IsStillValid(before));
  directory_.SetFirstHash(HashBearerToken("second"));
  EXPECT_EQ(directory_.AreStillValid({before, *directory_.ByToken("second")}),
            (std::vector<bool>{false, true}));
  directory_.SetFirstHash("");
  EXPECT_FALSE(IsStillValid(before));
}

TEST_F(OperatorDirectoryTest, WhoWasLetInStaysWhileTheStoreIsAway) {
  const Caller caller = *directory_.ByToken(Make("bob", Role::kViewer));
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_TRUE(IsStillValid(caller));
}

TEST_F(OperatorDirectoryTest, TheRecordsHaveNoSecret) {
  const std::string secret = Make("bob", Role::kViewer);
  const auto records = table_.List();
  ASSERT_EQ(records->size(), 1u);
  EXPECT_THAT(records->front().value, Not(HasSubstr(secret)));
}

TEST_F(OperatorDirectoryTest, ANameIsGivenOnceUntilItIsFree) {
  Make("bob", Role::kViewer);
  EXPECT_THAT(directory_.Create("bob", Role::kAdmin, absl::nullopt, "me"),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("bob")));
  clock_.Advance(absl::Hours(2));
  EXPECT_THAT(directory_.Create("bob", Role::kAdmin, absl::nullopt, "me"), IsOk());
}

TEST_F(OperatorDirectoryTest, RefusesNamesAndLivesThatAreNone) {
  for (const char* name : {"", "a b", "a/b", "ä", OperatorDirectory::kFirstToken}) {
    EXPECT_THAT(directory_.Create(name, Role::kViewer, absl::nullopt, "me"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("name: ")));
  }
  for (const absl::Duration ttl : {absl::ZeroDuration(), -absl::Hours(1), absl::Hours(24 * 367)}) {
    EXPECT_THAT(directory_.Create("x", Role::kViewer, ttl, "me"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ttl: ")));
  }
}

TEST_F(OperatorDirectoryTest, ARecordThatIsNotUnderstoodOpensNothingAndKeepsNobodyOut) {
  const std::string secret = Make("bob", Role::kViewer);
  ASSERT_THAT(table_.Put("new", "\x0a\x03god", absl::nullopt), IsOk());
  EXPECT_THAT(directory_.ByToken(secret), IsOk());
}

TEST_F(OperatorDirectoryTest, AStoreThatIsDownIsNoReasonToRefuseTheFirstToken) {
  store_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(directory_.ByToken("first"), IsOk());
  EXPECT_THAT(directory_.ByToken("other"), StatusIs(absl::StatusCode::kUnavailable));
}

// Whoever makes up tokens has one reading of the records at a time, for all of them.
TEST_F(OperatorDirectoryTest, MadeUpTokensWaitForOneReadingOfTheStore) {
  const std::string secret = Make("bob", Role::kViewer);
  store_.HoldReads();
  absl::StatusOr<Caller> first;
  std::thread stranger([&] { first = directory_.ByToken("made-up"); });
  store_.AwaitHeldRead();
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(directory_.ByToken(absl::StrCat("made-up ", i)),
                StatusIs(absl::StatusCode::kUnauthenticated));
  }
  EXPECT_THAT(directory_.ByToken("first"), IsOk());
  // That of somebody who is known is looked up all the same.
  absl::StatusOr<Caller> known;
  std::thread bob([&] { known = directory_.ByToken(secret); });
  store_.LetReadsGo();
  stranger.join();
  bob.join();
  EXPECT_THAT(first, StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(known, IsOk());
}

TEST_F(OperatorDirectoryTest, NobodyIsRefusedByMemoryBeforeTheRecordsHaveBeenRead) {
  const std::string secret = Make("bob", Role::kViewer);
  OperatorDirectory restarted("", {}, &table_, &clock_);
  store_.HoldReads();
  std::thread stranger([&] { (void)restarted.ByToken("made-up"); });
  store_.AwaitHeldRead();
  EXPECT_THAT(restarted.ByToken(secret), StatusIs(absl::StatusCode::kUnavailable));
  store_.LetReadsGo();
  stranger.join();
  EXPECT_THAT(restarted.ByToken(secret), IsOk());
}

// Nothing says so but the records.
TEST_F(OperatorDirectoryTest, ATokenThatAnotherControlPlaneHasMadeOpensAtOnce) {
  OperatorDirectory other("", {}, &table_, &clock_);
  EXPECT_THAT(other.ByToken("made-up"), StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(other.ByToken(Make("bob", Role::kViewer)), IsOk());
}

TEST_F(OperatorDirectoryTest, ACertificateIsValidUntilItsEnd) {
  Caller caller = *directory_.ByIdentity(*SpiffeId::Parse(kAlice));
  caller.valid_until = clock_.WallNow() + absl::Minutes(1);
  EXPECT_TRUE(IsStillValid(caller));
  clock_.Advance(absl::Minutes(1));
  EXPECT_FALSE(IsStillValid(caller));
}

TEST_F(OperatorDirectoryTest, AnIdentityIsAnOperatorOnlyWhenItIsNamed) {
  EXPECT_EQ(directory_.ByIdentity(*SpiffeId::Parse(kAlice))->role, Role::kOperator);
  EXPECT_THAT(directory_.ByIdentity(*SpiffeId::Parse("spiffe://cluster.local/ns/ops/sa/bob")),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(OperatorIdentitiesTest, ReadsIdentitiesAndRoles) {
  auto identities = ParseOperatorIdentities(
      absl::StrCat(kAlice, "=admin,spiffe://cluster.local/x=viewer"), "cluster.local");
  ASSERT_THAT(identities, IsOk());
  EXPECT_EQ(identities->size(), 2u);
  EXPECT_EQ(identities->at(kAlice), Role::kAdmin);
  EXPECT_TRUE(ParseOperatorIdentities("", "cluster.local")->empty());
}

TEST(OperatorIdentitiesTest, RefusesWhatItDoesNotUnderstand) {
  for (const char* text :
       {"alice", "alice=admin", "spiffe://cluster.local/x", "spiffe://cluster.local/x=god",
        "spiffe://other/x=admin", "spiffe://cluster.local/byrnie/controlplane=admin",
        "spiffe://cluster.local/x=admin,spiffe://cluster.local/x=viewer"}) {
    EXPECT_THAT(ParseOperatorIdentities(text, "cluster.local"),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

}  // namespace
}  // namespace byrnie
