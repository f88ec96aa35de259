#include "controlplane/attest/kubernetes_attestor.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/private_key.h"
#include "common/crypto/token/testing/jwt_maker.h"
#include "controlplane/attest/jwt_attestor.h"
#include "controlplane/attest/refusal.h"
#include "controlplane/attest/service_account_keys.h"
#include "controlplane/attest/token_signatures.h"
#include "controlplane/kubernetes/testing/fake_pods.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FakeReviewer final : public TokenReviewer {
 public:
  absl::StatusOr<TokenReview> Review(absl::string_view token,
                                     const std::vector<std::string>& audiences,
                                     absl::Time deadline) override {
    ++asked;
    if (meanwhile) std::exchange(meanwhile, nullptr)();
    last_token = std::string(token);
    last_audiences = audiences;
    last_deadline = deadline;
    return answer;
  }
  int asked = 0;
  // Done while one waits.
  std::function<void()> meanwhile;
  std::string last_token;
  std::vector<std::string> last_audiences;
  absl::Time last_deadline;
  absl::StatusOr<TokenReview> answer;
};

class KubernetesAttestorTest : public ::testing::Test {
 protected:
  KubernetesAttestorTest() : key_(*PrivateKey::Generate()) {
    pod_.name = {"demo", "web-1"};
    pod_.uid = "u1";
    pod_.service_account = "web";
    pod_.node = "n1";
    pod_.ips = {kPodIp};
    TokenReview review;
    review.authenticated = true;
    review.audiences = {"byrnie"};
    review.username = "system:serviceaccount:demo:web";
    review.pod_name = "web-1";
    review.pod_uid = "u1";
    review.node_name = "n1";
    good_ = review;
    reviewer_.answer = review;
    pods_.Put(pod_);
    Make();
  }
  void Make() {
    KubernetesAttestor::Options options;
    options.trust_domain = "td";
    options.audiences = {"byrnie"};
    options.max_remembered = 3;
    options.pods = &pods_;
    options.pod_address = pod_address_;
    options.on_other_address = [this](const SpiffeId& id, absl::string_view why) {
      warned_.push_back(absl::StrCat(id.text(), " ", why));
    };
    options.signatures = &signatures_;
    options.on_unknown_key = [this] { ++unknown_keys_; };
    attestor_ = std::make_unique<KubernetesAttestor>(std::move(options), &reviewer_,
                                                     fallback_.get(), &clock_, &metrics_);
  }
  // What the API server would have made.
  std::string Token(absl::string_view audience = "byrnie",
                    absl::string_view bound = R"("pod":{"name":"web-1","uid":"u1"},)",
                    absl::Duration life = absl::Hours(1)) const {
    return TokenBy(*key_, "k1", audience, bound, life);
  }
  // The same, made by somebody.
  std::string TokenBy(const PrivateKey& key, absl::string_view key_id,
                      absl::string_view audience = "byrnie",
                      absl::string_view bound = R"("pod":{"name":"web-1","uid":"u1"},)",
                      absl::Duration life = absl::Hours(1)) const {
    const int64_t now = absl::ToUnixSeconds(clock_.WallNow());
    return MakeJwt(key, absl::StrCat(R"({"alg":"ES256","kid":")", key_id, R"("})"),
                   absl::StrCat(R"({"iss":"https://kube","aud":[")", audience, R"("],"exp":)",
                                now + absl::ToInt64Seconds(life), R"(,"iat":)", now,
                                R"(,"sub":"system:serviceaccount:demo:web","kubernetes.io":{)",
                                bound, R"("namespace":"demo","serviceaccount":{"name":"web"}}})"));
  }
  absl::StatusOr<Attestor::Claim> Check(const std::string& token, const std::string& source = "a") {
    return CheckFrom(kPodIp, token, source);
  }
  absl::StatusOr<Attestor::Claim> CheckFrom(const IpAddress& address, const std::string& token,
                                            const std::string& source = "a") {
    return attestor_->Check(token, {clock_.WallNow() + absl::Minutes(1), source, address});
  }
  void ExpectRefused(const absl::StatusOr<Attestor::Claim>& claim, RefusalReason expected) {
    RefusalReason reason;
    ASSERT_FALSE(claim.ok());
    ASSERT_TRUE(IsRefusedCredential(claim.status(), &reason)) << claim.status();
    EXPECT_EQ(reason, expected) << claim.status();
  }
  void UseKeys() {
    ASSERT_OK_AND_ASSIGN(
        JwtTrustPtr trust,
        ServiceAccountTrust("https://kube", JwkSetOf({JwkOf(*key_, R"("kid":"k1",)")}), {"byrnie"},
                            "td"));
    fallback_ = std::make_unique<JwtAttestor>(trust, &clock_);
    signatures_.SetKeys(trust->issuers[0].keys);
    Make();
  }

  const IpAddress kPodIp = *IpAddress::Parse("10.1.0.1");
  const IpAddress kElsewhere = *IpAddress::Parse("10.9.9.9");
  Pod pod_;
  FakeClock clock_;
  MetricRegistry metrics_;
  const std::shared_ptr<const PrivateKey> key_;
  TokenSignatures signatures_;
  int unknown_keys_ = 0;
  FakeReviewer reviewer_;
  TokenReview good_;
  FakePods pods_;
  PodAddressRule pod_address_ = PodAddressRule::kRecord;
  std::vector<std::string> warned_;
  std::unique_ptr<JwtAttestor> fallback_;
  std::unique_ptr<KubernetesAttestor> attestor_;
};

TEST_F(KubernetesAttestorTest, GivesTheIdentityOfTheServiceAccount) {
  const std::string token = Token();
  ASSERT_OK_AND_ASSIGN(Attestor::Claim claim, Check(token));
  EXPECT_EQ(claim.id.text(), "spiffe://td/ns/demo/sa/web");
  EXPECT_EQ(claim.proof, "kubernetes");
  EXPECT_EQ(claim.subject, "pod web-1 (u1) on n1");
  EXPECT_EQ(reviewer_.last_token, token);
  EXPECT_THAT(reviewer_.last_audiences, ElementsAre("byrnie"));
  EXPECT_LE(reviewer_.last_deadline, clock_.WallNow() + absl::Seconds(5));
}

TEST_F(KubernetesAttestorTest, LeavesOtherCredentialsToOthers) {
  EXPECT_THAT(Check("join-token"), StatusIs(absl::StatusCode::kNotFound));
  const std::string other = MakeJwt(*key_, R"({"alg":"ES256"})", R"({"iss":"https://ci"})");
  EXPECT_THAT(Check(other), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(reviewer_.asked, 0);
}

TEST_F(KubernetesAttestorTest, DoesNotAskAboutWhatCannotBeRight) {
  ExpectRefused(Check(Token("https://kubernetes.default.svc")), RefusalReason::kWrongAudience);
  ExpectRefused(Check(Token("byrnie", "")), RefusalReason::kWrongClaims);
  ExpectRefused(Check(Token("byrnie", R"("pod":{"name":"a","uid":"b"},)", -absl::Seconds(1))),
                RefusalReason::kExpired);
  const std::string of_secret =
      MakeJwt(*key_, R"({"alg":"ES256"})", R"({"kubernetes.io/serviceaccount/namespace":"demo"})");
  ExpectRefused(Check(of_secret), RefusalReason::kWrongClaims);
  EXPECT_EQ(reviewer_.asked, 0);
}

TEST_F(KubernetesAttestorTest, BelievesOnlyTheApiServer) {
  TokenReview review = good_;
  review.authenticated = false;
  reviewer_.answer = review;
  ExpectRefused(Check(Token()), RefusalReason::kUnknownToken);
}

TEST_F(KubernetesAttestorTest, WantsTheAudienceInTheAnswer) {
  for (const std::vector<std::string>& audiences :
       std::vector<std::vector<std::string>>{{}, {"https://kubernetes.default.svc"}}) {
    TokenReview review = good_;
    review.audiences = audiences;
    reviewer_.answer = review;
    ExpectRefused(Check(Token()), RefusalReason::kWrongAudience);
    clock_.Advance(absl::Minutes(1));
  }
}

TEST_F(KubernetesAttestorTest, WantsAPodInTheAnswer) {
  TokenReview review = good_;
  review.pod_uid.clear();
  reviewer_.answer = review;
  ExpectRefused(Check(Token()), RefusalReason::kWrongClaims);
}

TEST_F(KubernetesAttestorTest, WantsAServiceAccount) {
  for (const char* username : {"", "admin", "system:node:n1", "system:serviceaccount:demo",
                               "system:serviceaccount:demo:web:x", "system:serviceaccount::web",
                               "system:serviceaccount:../byrnie:web"}) {
    TokenReview review = good_;
    review.username = username;
    reviewer_.answer = review;
    ExpectRefused(Check(Token()), RefusalReason::kWrongClaims);
    clock_.Advance(absl::Minutes(1));
  }
}

TEST_F(KubernetesAttestorTest, RemembersAVerdictForAWhile) {
  const std::string token = Token();
  EXPECT_THAT(Check(token), IsOk());
  reviewer_.answer = absl::UnavailableError("down");
  EXPECT_THAT(Check(token), IsOk());
  EXPECT_EQ(reviewer_.asked, 1);
  clock_.Advance(absl::Seconds(31));
  EXPECT_THAT(Check(token), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(reviewer_.asked, 2);
}

TEST_F(KubernetesAttestorTest, RemembersARefusalForLess) {
  TokenReview review = good_;
  review.authenticated = false;
  reviewer_.answer = review;
  const std::string token = Token();
  ExpectRefused(Check(token), RefusalReason::kUnknownToken);
  reviewer_.answer = good_;
  ExpectRefused(Check(token), RefusalReason::kUnknownToken);
  clock_.Advance(absl::Seconds(11));
  EXPECT_THAT(Check(token), IsOk());
}

// An API server remembers its own verdict, too, and says for a while that it knows the token.
TEST_F(KubernetesAttestorTest, RefusesATokenWhosePodIsGoneWhateverTheServerSays) {
  const std::string token = Token();
  EXPECT_THAT(Check(token), IsOk());
  pods_.End("u1");
  ExpectRefused(Check(token), RefusalReason::kUnknownToken);
  EXPECT_EQ(reviewer_.asked, 1);
}

TEST_F(KubernetesAttestorTest, DoesNotRememberATokenBeyondItsEnd) {
  const std::string token =
      Token("byrnie", R"("pod":{"name":"web-1","uid":"u1"},)", absl::Seconds(10));
  EXPECT_THAT(Check(token), IsOk());
  clock_.Advance(absl::Seconds(10));
  ExpectRefused(Check(token), RefusalReason::kExpired);
}

TEST_F(KubernetesAttestorTest, RemembersOnlySoMany) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 5; ++i) {
    tokens.push_back(Token());  // Each has a signature of its own.
    EXPECT_THAT(Check(tokens.back()), IsOk());
  }
  EXPECT_EQ(reviewer_.asked, 5);
  EXPECT_THAT(Check(tokens[4]), IsOk());
  EXPECT_EQ(reviewer_.asked, 5);
  EXPECT_THAT(Check(tokens[0]), IsOk());
  EXPECT_EQ(reviewer_.asked, 6);
}

// Who has many bad ones must not make good ones cost a review each time.
TEST_F(KubernetesAttestorTest, RemembersGoodOnesHoweverManyBadOnesCome) {
  const std::string good = Token();
  EXPECT_THAT(Check(good), IsOk());
  TokenReview review = good_;
  review.authenticated = false;
  reviewer_.answer = review;
  for (int i = 0; i < 5; ++i) ExpectRefused(Check(Token()), RefusalReason::kUnknownToken);
  EXPECT_EQ(reviewer_.asked, 6);
  EXPECT_THAT(Check(good), IsOk());
  EXPECT_EQ(reviewer_.asked, 6);
  // What was good is not remembered as such once it is bad.
  clock_.Advance(absl::Seconds(31));
  ExpectRefused(Check(good), RefusalReason::kUnknownToken);
  ExpectRefused(Check(good), RefusalReason::kUnknownToken);
  EXPECT_EQ(reviewer_.asked, 7);
}

TEST_F(KubernetesAttestorTest, TakesNothingWithoutTheServerAndItsKeys) {
  reviewer_.answer = absl::UnavailableError("down");
  EXPECT_THAT(Check(Token()), StatusIs(absl::StatusCode::kUnavailable, "down"));
}

TEST_F(KubernetesAttestorTest, JudgesByTheKeysWhileTheServerIsAway) {
  UseKeys();
  reviewer_.answer = absl::UnavailableError("down");
  ASSERT_OK_AND_ASSIGN(Attestor::Claim claim, Check(Token()));
  EXPECT_EQ(claim.id.text(), "spiffe://td/ns/demo/sa/web");
  EXPECT_EQ(claim.proof, "kubernetes:keys");
  // It is asked again each time: it may be back.
  EXPECT_THAT(Check(Token()), IsOk());
  EXPECT_EQ(reviewer_.asked, 2);
  const std::shared_ptr<const PrivateKey> other = *PrivateKey::Generate();
  std::string forged = Token();
  forged.resize(forged.rfind('.') + 1);
  const std::string signature_of_other = MakeJwt(*other, R"({"alg":"ES256","kid":"k1"})", "{}");
  forged += signature_of_other.substr(signature_of_other.rfind('.') + 1);
  ExpectRefused(Check(forged), RefusalReason::kBadSignature);
}

// The server is not away because a caller is in a hurry.
TEST_F(KubernetesAttestorTest, DoesNotHaveTheKeysJudgeForACallerWhoDoesNotWait) {
  UseKeys();
  reviewer_.answer = absl::UnavailableError("the API server did not answer in time");
  const std::string token = Token();
  const auto check = [&](absl::Duration patience) {
    // As the reviewer does, it takes all the time that it is given.
    reviewer_.meanwhile = [&] { clock_.Advance(std::min(patience, absl::Seconds(5))); };
    return attestor_->Check(token, {clock_.WallNow() + patience, "a", kPodIp});
  };
  EXPECT_THAT(check(absl::Milliseconds(1)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("give it 5s or more")));
  EXPECT_THAT(check(absl::Seconds(5)), StatusIs(absl::StatusCode::kDeadlineExceeded));
  // Nothing is remembered of it, and our own patience is what ends this.
  ASSERT_OK_AND_ASSIGN(Attestor::Claim claim, check(absl::Seconds(10)));
  EXPECT_EQ(claim.proof, "kubernetes:keys");
}

// Nor is it there because he has little time.
TEST_F(KubernetesAttestorTest, HasTheKeysJudgeAtOnceWhereTheServerCannotBeReached) {
  UseKeys();
  reviewer_.answer = absl::UnavailableError("connection refused");
  ASSERT_OK_AND_ASSIGN(
      Attestor::Claim claim,
      attestor_->Check(Token(), {clock_.WallNow() + absl::Seconds(1), "a", kPodIp}));
  EXPECT_EQ(claim.proof, "kubernetes:keys");
}

// Whoever reaches the port makes as many of them as he likes.
TEST_F(KubernetesAttestorTest, DoesNotAskAboutWhatTheKeysShowToBeForged) {
  UseKeys();
  const std::shared_ptr<const PrivateKey> forger = *PrivateKey::Generate();
  ExpectRefused(Check(TokenBy(*forger, "k1")), RefusalReason::kBadSignature);
  EXPECT_EQ(reviewer_.asked, 0);
  EXPECT_EQ(unknown_keys_, 0);
  // The server's word counts for all others.
  EXPECT_THAT(Check(Token()), IsOk());
  EXPECT_EQ(reviewer_.asked, 1);
}

TEST_F(KubernetesAttestorTest, AsksAboutWhatTheKeysDoNotKnowAndHasThemFetched) {
  UseKeys();
  const std::shared_ptr<const PrivateKey> next = *PrivateKey::Generate();
  EXPECT_THAT(Check(TokenBy(*next, "k2")), IsOk());
  EXPECT_EQ(reviewer_.asked, 1);
  EXPECT_EQ(unknown_keys_, 1);
}

TEST_F(KubernetesAttestorTest, HasASourceWaitThatKeepsOthersOut) {
  // Without keys, nobody can tell whose they are.
  int failed = 0;
  for (int i = 0; i < 30; ++i) {
    if (!Check(Token(), "forger").ok()) ++failed;
  }
  EXPECT_EQ(failed, 20);
  EXPECT_EQ(reviewer_.asked, 10);
  EXPECT_THAT(Check(Token(), "agent"), IsOk());
  // With keys the server's own have no such limit, from wherever.
  UseKeys();
  for (int i = 0; i < 30; ++i) EXPECT_THAT(Check(Token(), "forger"), IsOk());
}

TEST_F(KubernetesAttestorTest, LetsASourceHaveSoManyUnderWay) {
  std::vector<absl::StatusCode> nested;
  const std::function<void()> another = [&] {
    if (nested.size() >= 6) return;
    nested.push_back(absl::StatusCode::kUnknown);
    const size_t mine = nested.size() - 1;
    reviewer_.meanwhile = another;
    nested[mine] = Check(Token(), mine == 5 ? "agent" : "forger").status().code();
    if (nested[mine] != absl::StatusCode::kOk) another();
  };
  another();
  const absl::StatusCode ok = absl::StatusCode::kOk;
  EXPECT_THAT(nested, ElementsAre(ok, ok, ok, ok, absl::StatusCode::kUnavailable, ok));
  // All have ended.
  reviewer_.meanwhile = nullptr;
  EXPECT_THAT(Check(Token(), "forger"), IsOk());
}

TEST_F(KubernetesAttestorTest, AsksAboutAllWithoutKeys) {
  const std::shared_ptr<const PrivateKey> somebody = *PrivateKey::Generate();
  EXPECT_THAT(Check(TokenBy(*somebody, "k1")), IsOk());
  EXPECT_EQ(reviewer_.asked, 1);
  EXPECT_EQ(unknown_keys_, 0);
}

TEST_F(KubernetesAttestorTest, DoesNotTakeATokenOfAPodThatIsGoneByTheKeysAlone) {
  UseKeys();
  reviewer_.answer = absl::UnavailableError("down");
  pods_.End("u1");
  ExpectRefused(Check(Token()), RefusalReason::kUnknownToken);
}

TEST_F(KubernetesAttestorTest, SaysInTheLogThatATokenDoesNotComeFromItsPod) {
  const std::string token = Token();
  // The verdict on the token is remembered; who shows it is another one each time.
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(Attestor::Claim elsewhere, CheckFrom(kElsewhere, token));
    EXPECT_EQ(elsewhere.proof, "kubernetes:other-address");
    EXPECT_EQ(elsewhere.subject,
              "pod web-1 (u1) on n1: it comes from 10.9.9.9, which is no address of pod "
              "demo/web-1 (10.1.0.1)");
    ASSERT_OK_AND_ASSIGN(Attestor::Claim here, Check(token));
    EXPECT_EQ(here.proof, "kubernetes");
  }
  EXPECT_EQ(reviewer_.asked, 1);
  ASSERT_EQ(warned_.size(), 2u);
  EXPECT_THAT(warned_[0], HasSubstr("spiffe://td/ns/demo/sa/web it comes from 10.9.9.9"));
}

TEST_F(KubernetesAttestorTest, TakesATokenFromItsPodAloneWhereItIsToldTo) {
  pod_address_ = PodAddressRule::kRequire;
  UseKeys();
  const std::string token = Token();
  for (int i = 0; i < 2; ++i) {
    ExpectRefused(CheckFrom(kElsewhere, token), RefusalReason::kOtherAddress);
    EXPECT_THAT(Check(token), IsOk());
  }
  reviewer_.answer = absl::UnavailableError("down");
  ExpectRefused(CheckFrom(kElsewhere, Token()), RefusalReason::kOtherAddress);
  pod_.ips.clear();
  pods_.Put(pod_);
  EXPECT_THAT(Check(Token()), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ask again")));
  EXPECT_TRUE(warned_.empty());
}

TEST_F(KubernetesAttestorTest, RefusesATokenThatTheClustersPodDoesNotGoWith) {
  pod_.service_account = "db";
  pods_.Put(pod_);
  ExpectRefused(Check(Token()), RefusalReason::kWrongClaims);
  pod_.service_account = "web";
  pod_.node = "n2";
  pods_.Put(pod_);
  ExpectRefused(Check(Token()), RefusalReason::kWrongClaims);
}

TEST_F(KubernetesAttestorTest, HasTheNodeFromTheClusterWhereTheServerDoesNotSay) {
  good_.node_name.clear();
  reviewer_.answer = good_;
  ASSERT_OK_AND_ASSIGN(Attestor::Claim claim, Check(Token()));
  EXPECT_EQ(claim.subject, "pod web-1 (u1) on n1");
}

// By the keys a token says as much.
TEST_F(KubernetesAttestorTest, NamesThePodAlsoWhereTheKeysHaveJudged) {
  UseKeys();
  reviewer_.answer = absl::UnavailableError("down");
  ASSERT_OK_AND_ASSIGN(Attestor::Claim claim, Check(Token()));
  EXPECT_EQ(claim.subject, "pod web-1 (u1) on n1");
  ASSERT_OK_AND_ASSIGN(claim, CheckFrom(kElsewhere, Token()));
  EXPECT_EQ(claim.proof, "kubernetes:keys:other-address");
  const auto on_node = [&](absl::string_view node) {
    return Check(Token("byrnie", absl::StrCat(R"("pod":{"name":"web-1","uid":"u1"},)",
                                              R"("node":{"name":")", node, R"("},)")));
  };
  EXPECT_THAT(on_node("n1"), IsOk());
  ExpectRefused(on_node("n2"), RefusalReason::kWrongClaims);
}

// The watch that tells of pods may be behind.
TEST_F(KubernetesAttestorTest, SaysInTheLogThatAPodWasNotKnown) {
  TokenReview review = good_;
  review.pod_uid = "u2";
  reviewer_.answer = review;
  ASSERT_OK_AND_ASSIGN(Attestor::Claim claim, Check(Token()));
  EXPECT_EQ(claim.proof, "kubernetes:unknown-pod");
  EXPECT_TRUE(warned_.empty());
}

TEST_F(KubernetesAttestorTest, LetsNoKeysOverruleTheServer) {
  UseKeys();
  TokenReview review = good_;
  review.authenticated = false;
  reviewer_.answer = review;
  ExpectRefused(Check(Token()), RefusalReason::kUnknownToken);
}

}  // namespace
}  // namespace byrnie
