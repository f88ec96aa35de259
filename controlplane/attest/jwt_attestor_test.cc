#include "controlplane/attest/jwt_attestor.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/private_key.h"
#include "common/crypto/testing/rsa_signer.h"
#include "common/crypto/token/testing/jwt_maker.h"
#include "controlplane/attest/refusal.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kIssuer[] = "https://ci.example";
constexpr char kEs[] = R"({"alg":"ES256","kid":"e","typ":"JWT"})";
constexpr char kRs[] = R"({"alg":"RS256","kid":"r"})";

class JwtAttestorTest : public ::testing::Test {
 protected:
  JwtAttestorTest() {
    attestor_.SetTrust(
        Trust(JwkSetOf({JwkOf(*ec_, R"("kid":"e",)"), JwkOf(Rsa(), R"("kid":"r",)")})));
  }

  static const RsaSigner& Rsa() {
    static const RsaSigner* const signer = new RsaSigner(2048);
    return *signer;
  }
  static JwtTrustPtr Trust(absl::string_view keys, bool single_use = false) {
    auto trust = std::make_shared<JwtTrust>();
    trust->leeway = absl::Seconds(30);
    JwtTrust::Entry entry;
    entry.issuer.name = kIssuer;
    entry.issuer.audiences = {"byrnie", "mesh"};
    entry.issuer.max_life = absl::Hours(1);
    entry.issuer.single_use = single_use;
    entry.issuer.identities.push_back(*IdentityMapping::Create(
        {{"sub", "repo:{repo}"}}, "spiffe://cluster.local/ci/{repo}", "cluster.local"));
    entry.issuer.identities.push_back(*IdentityMapping::Create(
        {{"sub", "vm/{vm}"}, {"zone", "a"}}, "spiffe://cluster.local/vm/{vm}", "cluster.local"));
    entry.keys = std::make_shared<const JwkSet>(*JwkSet::Parse(keys));
    trust->issuers.push_back(std::move(entry));
    return trust;
  }

  // Good claims, of a token that was issued now and lives ten minutes, with one part replaced.
  std::string Claims(const std::string& part = "", const std::string& other = "") {
    const int64_t now = absl::ToUnixSeconds(clock_.WallNow());
    const std::string claims =
        absl::StrCat(R"({"iss":")", kIssuer, R"(","sub":"repo:shop","aud":["byrnie"],"iat":)", now,
                     R"(,"exp":)", now + 600, "}");
    return part.empty() ? claims : absl::StrReplaceAll(claims, {{part, other}});
  }
  std::string Sign(const std::string& claims) { return MakeJwt(*ec_, kEs, claims); }
  // `seconds` from now, as a claim.
  std::string In(const char* claim, int64_t seconds) {
    return absl::StrCat(",\"", claim, "\":", absl::ToUnixSeconds(clock_.WallNow()) + seconds);
  }

  absl::StatusOr<Attestor::Claim> Check(const std::string& token) {
    return attestor_.Check(token, {});
  }
  // Why a token is refused; what it says of it is then to contain `detail`.
  std::string Refused(const std::string& token, const std::string& detail = "") {
    const absl::Status status = Check(token).status();
    RefusalReason reason;
    if (!IsRefusedCredential(status, &reason)) return status.ToString();
    EXPECT_THAT(std::string(status.message()), HasSubstr(detail));
    return std::string(RefusalReasonName(reason));
  }

  FakeClock clock_;
  const std::shared_ptr<const PrivateKey> ec_ = *PrivateKey::Generate();
  JwtAttestor attestor_{std::make_shared<const JwtTrust>(), &clock_};
};

TEST_F(JwtAttestorTest, GivesTheIdentityOfAGoodTokenOfEitherKind) {
  for (const std::string& token : {Sign(Claims()), MakeJwt(Rsa(), kRs, Claims())}) {
    auto claim = Check(token);
    ASSERT_THAT(claim, IsOk());
    EXPECT_EQ(claim->id.text(), "spiffe://cluster.local/ci/shop");
    EXPECT_EQ(claim->proof, "jwt:https://ci.example");
    EXPECT_EQ(claim->subject, "repo:shop");
    // As often as it is shown, unless its issuer's count once.
    EXPECT_THAT(attestor_.Redeem(*claim), IsOk());
    EXPECT_THAT(attestor_.Redeem(*claim), IsOk());
  }
}

TEST_F(JwtAttestorTest, LeavesToOthersWhatIsNotItsOwn) {
  EXPECT_THAT(Check("0123456789"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no JWT")));
  for (const char* issuer : {"https://ci.example/", "https://CI.example", "", "x"}) {
    EXPECT_THAT(Check(Sign(Claims(kIssuer, issuer))),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("not configured")));
  }
}

TEST_F(JwtAttestorTest, TakesTheAlgorithmFromTheKeyAndNothingFromTheToken) {
  const std::string none = MakeJwt("", R"({"alg":"none","kid":"e"})", Claims());
  // Without a signature it has no third part.
  EXPECT_THAT(Check(none), StatusIs(absl::StatusCode::kNotFound));
  for (const char* algorithm :
       {"none", "None", "", "HS256", "RS384", "PS256", "ES384", "es256", "EdDSA"}) {
    EXPECT_EQ(Refused(MakeJwt("signature",
                              absl::StrCat(R"({"alg":")", algorithm, R"(","kid":"e"})"), Claims()),
                      "neither ES256 nor RS256"),
              "malformed")
        << algorithm;
  }
  // The right signature under the other key's name.
  EXPECT_EQ(
      Refused(MakeJwt(Rsa(), R"({"alg":"RS256","kid":"e"})", Claims()), "its key is for ES256"),
      "unknown-key");
  EXPECT_EQ(
      Refused(MakeJwt(*ec_, R"({"alg":"ES256","kid":"r"})", Claims()), "its key is for RS256"),
      "unknown-key");
  // A token that brings its own key.
  const auto own = *PrivateKey::Generate();
  EXPECT_EQ(Refused(MakeJwt(
                *own, absl::StrCat(R"({"alg":"ES256","kid":"e","jwk":)", JwkOf(*own, ""), "}"),
                Claims())),
            "bad-signature");
}

TEST_F(JwtAttestorTest, NeedsAKeyIdWhereThereIsMoreThanOneKey) {
  const std::string token = MakeJwt(*ec_, R"({"alg":"ES256"})", Claims());
  EXPECT_EQ(Refused(token, "more than one key"), "unknown-key");
  attestor_.SetTrust(Trust(JwkSetOf({JwkOf(*ec_, R"("kid":"e",)")})));
  EXPECT_THAT(Check(token), IsOk());
  EXPECT_EQ(Refused(MakeJwt(*ec_, R"({"alg":"ES256","kid":"f"})", Claims()), "no key \"f\""),
            "unknown-key");
}

TEST_F(JwtAttestorTest, RefusesOtherHeaders) {
  for (const char* header :
       {R"({"alg":"ES256","kid":"e","crit":["exp"]})", R"({"alg":"ES256","kid":"e","crit":[]})",
        R"({"alg":"ES256","kid":""})", R"({"alg":"ES256","kid":1})",
        R"({"alg":"ES256","kid":"e","typ":"at+jwt"})", R"({"alg":"ES256","kid":"e","typ":1})",
        R"({"alg":"ES256","alg":"ES256","kid":"e"})", R"({"alg":["ES256"],"kid":"e"})",
        R"({"kid":"e"})", R"([])"}) {
    EXPECT_EQ(Refused(MakeJwt(*ec_, header, Claims())), "malformed") << header;
  }
  // Issuers put more into it, which is nobody's business.
  EXPECT_THAT(
      Check(MakeJwt(*ec_, R"({"alg":"ES256","kid":"e","typ":"jwt","x5t":"abc"})", Claims())),
      IsOk());
}

TEST_F(JwtAttestorTest, RefusesASignatureThatIsNotItsOwn) {
  const std::string token = Sign(Claims());
  EXPECT_EQ(Refused(MakeJwt(**PrivateKey::Generate(), kEs, Claims())), "bad-signature");
  EXPECT_EQ(Refused(MakeJwt(RsaSigner(2048), kRs, Claims())), "bad-signature");
  EXPECT_EQ(Refused(MakeJwt(Rsa().SignPssSha256("x"), kRs, Claims())), "bad-signature");
  EXPECT_EQ(Refused(MakeJwt(std::string(64, '\0'), kEs, Claims())), "bad-signature");
  const std::string other = absl::WebSafeBase64Escape(Claims("shop", "shoe"));
  const size_t dot = token.find('.');
  EXPECT_EQ(Refused(token.substr(0, dot + 1) + other + token.substr(token.rfind('.'))),
            "bad-signature");
}

TEST_F(JwtAttestorTest, SaysNothingOfAClaimThatIsNotAuthentic) {
  const absl::Status status =
      Check(MakeJwt(**PrivateKey::Generate(), kEs, Claims("repo:shop", "secret"))).status();
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
}

TEST_F(JwtAttestorTest, EndsAtItsExpiryAndTheLeeway) {
  const std::string token = Sign(Claims());
  clock_.Advance(absl::Seconds(629));
  EXPECT_THAT(Check(token), IsOk());
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Refused(token, "expired 30s ago"), "expired");
}

TEST_F(JwtAttestorTest, BeginsNoEarlierThanItSaysButForTheLeeway) {
  EXPECT_THAT(Check(Sign(Claims(",\"exp\"", absl::StrCat(In("nbf", 30), ",\"exp\"")))), IsOk());
  EXPECT_EQ(
      Refused(Sign(Claims(",\"exp\"", absl::StrCat(In("nbf", 31), ",\"exp\""))), "valid in 31s"),
      "not-yet-valid");
  const std::string issued_now = In("iat", 0);
  EXPECT_THAT(Check(Sign(Claims(issued_now, In("iat", 30)))), IsOk());
  EXPECT_EQ(Refused(Sign(Claims(issued_now, In("iat", 31)))), "not-yet-valid");
}

TEST_F(JwtAttestorTest, RefusesWhatLivesTooLong) {
  const std::string end = In("exp", 600);
  EXPECT_THAT(Check(Sign(Claims(end, In("exp", 3600)))), IsOk());
  EXPECT_EQ(Refused(Sign(Claims(end, In("exp", 3601))), "lives 1h1s, more than 1h"),
            "too-long-lived");
}

// What is left of it does not count: a token of ten years would be good in its last hour.
TEST_F(JwtAttestorTest, NeedsToKnowHowLongATokenLives) {
  const std::string issued = In("iat", 0);
  EXPECT_EQ(Refused(Sign(Claims(issued, "")), "neither iat nor nbf"), "malformed");
  EXPECT_THAT(Check(Sign(Claims(issued, In("nbf", -3000)))), IsOk());
  EXPECT_EQ(Refused(Sign(Claims(issued, In("nbf", -3001))), "lives 1h1s"), "too-long-lived");
  // Where it says both, it is the time of its issue that counts.
  EXPECT_THAT(Check(Sign(Claims(issued, absl::StrCat(issued, In("nbf", -3001))))), IsOk());
}

TEST_F(JwtAttestorTest, RefusesDatesThatAreNone) {
  const std::string end = In("exp", 600), begin = In("iat", 0);
  EXPECT_EQ(Refused(Sign(Claims(end, ""))), "malformed");
  for (const char* value : {"\"1\"", "null", "-1", "1e300", "[1]"}) {
    EXPECT_EQ(Refused(Sign(Claims(end, absl::StrCat(",\"exp\":", value)))), "malformed") << value;
    EXPECT_EQ(Refused(Sign(Claims(begin, absl::StrCat(",\"iat\":", value)))), "malformed") << value;
    EXPECT_EQ(Refused(Sign(Claims(begin, absl::StrCat(",\"nbf\":", value)))), "malformed") << value;
  }
}

TEST_F(JwtAttestorTest, IsForOneOfOurAudiences) {
  for (const char* ours : {R"("byrnie")", R"(["x","mesh"])", R"(["byrnie"])"}) {
    EXPECT_THAT(Check(Sign(Claims(R"(["byrnie"])", ours))), IsOk()) << ours;
  }
  for (const char* other : {R"("sts.example")", R"(["x"])", "[]", R"("")", R"("Byrnie")",
                            R"("byrnie,mesh")", R"(["byrnie "])"}) {
    EXPECT_EQ(Refused(Sign(Claims(R"(["byrnie"])", other))), "wrong-audience") << other;
  }
  EXPECT_EQ(Refused(Sign(Claims(R"("aud":["byrnie"],)", ""))), "malformed");
  EXPECT_EQ(Refused(Sign(Claims(R"(["byrnie"])", R"(["byrnie",1])"))), "malformed");
}

TEST_F(JwtAttestorTest, TheFirstMappingThatFitsGivesTheIdentity) {
  auto vm = Check(Sign(Claims("\"repo:shop\"", R"("vm/db-1","zone":"a")")));
  ASSERT_THAT(vm, IsOk());
  EXPECT_EQ(vm->id.text(), "spiffe://cluster.local/vm/db-1");
  EXPECT_EQ(Refused(Sign(Claims("\"repo:shop\"", R"("vm/db-1","zone":"b")")),
                    "none of its issuer's 2 identities fits; entry 1: its claim \"sub\" is "
                    "\"vm/db-1\"; entry 2: its claim \"zone\" is \"b\""),
            "wrong-claims");
  EXPECT_EQ(Refused(Sign(Claims("repo:shop", "repo:.."))), "wrong-claims");
  EXPECT_EQ(Refused(Sign(Claims(R"("sub":"repo:shop",)", ""))), "wrong-claims");
}

TEST_F(JwtAttestorTest, RefusesWhatIsNoStrictJwt) {
  EXPECT_EQ(Refused("eyJ.eyJ.c2ln"), "malformed");
  EXPECT_EQ(Refused(Sign("[]")), "malformed");
  EXPECT_EQ(Refused(Sign(Claims("\"aud\"", R"("sub":"x","aud")"))), "malformed");
  EXPECT_EQ(Refused(Sign(Claims(absl::StrCat(R"("iss":")", kIssuer, "\","), ""))), "malformed");
  EXPECT_EQ(Refused(absl::StrCat("e30.", std::string(JwtAttestor::kMaxSize, 'A'), ".AA"),
                    "more than 16384"),
            "malformed");
}

TEST_F(JwtAttestorTest, ASingleUseTokenIsUsedUpByItsFirstSuccess) {
  attestor_.SetTrust(Trust(JwkSetOf({JwkOf(*ec_, "")}), /*single_use=*/true));
  const std::string header = R"({"alg":"ES256"})";
  const std::string token = MakeJwt(*ec_, header, Claims());
  auto first = Check(token), second = Check(token);
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  EXPECT_THAT(attestor_.Redeem(*first), IsOk());
  RefusalReason reason;
  ASSERT_TRUE(IsRefusedCredential(attestor_.Redeem(*second), &reason));
  EXPECT_EQ(reason, RefusalReason::kReplayed);
  // From then on nothing is signed for it. ECDSA: the same claims have as many signatures as one
  // likes.
  ASSERT_TRUE(IsRefusedCredential(Check(MakeJwt(*ec_, header, Claims())).status(), &reason));
  EXPECT_EQ(reason, RefusalReason::kReplayed);
  // Until nobody takes it any more, and over a change of keys.
  attestor_.SetTrust(Trust(JwkSetOf({JwkOf(*ec_, "")}), /*single_use=*/true));
  clock_.Advance(absl::Seconds(629));
  ASSERT_TRUE(IsRefusedCredential(Check(token).status(), &reason));
  EXPECT_EQ(reason, RefusalReason::kReplayed);
  EXPECT_THAT(attestor_.Redeem(*Check(MakeJwt(*ec_, header, Claims()))), IsOk());
}

TEST_F(JwtAttestorTest, ASingleUseTokenThatCameToNothingIsNotUsedUp) {
  attestor_.SetTrust(Trust(JwkSetOf({JwkOf(*ec_, "")}), /*single_use=*/true));
  const std::string token = MakeJwt(*ec_, R"({"alg":"ES256"})", Claims());
  auto claim = Check(token);
  ASSERT_THAT(claim, IsOk());
  // It has no part in a store's transaction.
  EXPECT_THAT(attestor_.RedeemNoting(*claim, {}), IsOkAndHolds(false));
  EXPECT_TRUE(IsRefusedCredential(attestor_.Redeem(*claim), nullptr));
  attestor_.Restore(*claim);
  EXPECT_THAT(attestor_.Redeem(*claim), IsOk());
  EXPECT_TRUE(IsRefusedCredential(attestor_.Redeem(*claim), nullptr));
}

}  // namespace
}  // namespace byrnie
