#include "controlplane/peer/peer_identity.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "grpc/grpc_security_constants.h"
#include "grpcpp/test/server_context_test_spouse.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

constexpr char kPath[] = "/ns/demo/sa/app";

// What the library says of a connection.
class FakeAuthContext final : public grpc::AuthContext {
 public:
  void Add(const std::string& name, const std::string& value) {
    properties_.emplace_back(name, value);
  }

  std::vector<grpc::string_ref> FindPropertyValues(const std::string& name) const override {
    std::vector<grpc::string_ref> values;
    for (const auto& [key, value] : properties_) {
      if (key == name) values.emplace_back(value);
    }
    return values;
  }
  bool IsPeerAuthenticated() const override { return true; }
  std::vector<grpc::string_ref> GetPeerIdentity() const override { return {}; }
  std::string GetPeerIdentityPropertyName() const override { return ""; }
  grpc::AuthPropertyIterator begin() const override { return Iterator(); }
  grpc::AuthPropertyIterator end() const override { return Iterator(); }
  void AddProperty(const std::string&, const grpc::string_ref&) override {}
  bool SetPeerIdentityPropertyName(const std::string&) override { return false; }

 private:
  struct Iterator : grpc::AuthPropertyIterator {};
  std::vector<std::pair<std::string, std::string>> properties_;
};

class PeerIdentityTest : public ::testing::Test {
 protected:
  // A caller who has shown a certificate for `id`.
  FakeAuthContext Shown(const TestCa& ca, const std::string& trust_domain = "td") {
    FakeAuthContext context;
    context.Add(GRPC_X509_PEM_CERT_PROPERTY_NAME, ca.IssueSvid(kPath).chain.front()->ToPem());
    context.Add(GRPC_PEER_SPIFFE_ID_PROPERTY_NAME, absl::StrCat("spiffe://", trust_domain, kPath));
    return context;
  }
  absl::StatusOr<absl::optional<PeerIdentity>> Verify(const grpc::AuthContext& context) {
    return VerifyPeer(context, bundles_, "td", now_);
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  const TestCa ca_{"td", now_};
  const TestCa other_{"other.example", now_};
  const TrustBundleSet bundles_ = *TrustBundleSet::Create(
      {{"td", TrustBundle{{ca_.root()}}}, {"other.example", TrustBundle{{other_.root()}}}});
  const std::string id_ = absl::StrCat("spiffe://td", kPath);
};

auto Unauthenticated(const std::string& why) {
  return StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr(why));
}

TEST_F(PeerIdentityTest, IsThatOfTheCertificateShown) {
  auto peer = Verify(Shown(ca_));
  ASSERT_THAT(peer, IsOk());
  ASSERT_TRUE(peer->has_value());
  EXPECT_EQ((*peer)->id.text(), id_);
  EXPECT_GT((*peer)->not_after, now_);
}

TEST_F(PeerIdentityTest, WithoutACertificateThereIsNone) {
  auto peer = Verify(FakeAuthContext());
  ASSERT_THAT(peer, IsOk());
  EXPECT_FALSE(peer->has_value());
  EXPECT_THAT(RequirePeer(FakeAuthContext(), bundles_, "td", now_),
              Unauthenticated("needs a client certificate"));
}

TEST_F(PeerIdentityTest, IsJudgedByTheTimeAndTheBundlesOfNow) {
  const FakeAuthContext context = Shown(ca_);
  EXPECT_FALSE(VerifyPeer(context, bundles_, "td", now_ + absl::Hours(100000)).ok());
  EXPECT_FALSE(VerifyPeer(context, TrustBundleSet(), "td", now_).ok());
  EXPECT_FALSE(Verify(Shown(TestCa("td", now_))).ok());
}

TEST_F(PeerIdentityTest, IsRevokedOnceAListOfItsTrustDomainNamesACertificateOfItsPath) {
  const PeerIdentity peer = **Verify(Shown(ca_));
  ASSERT_EQ(peer.path.size(), 2u);
  EXPECT_EQ(peer.path.back()->der(), ca_.root()->der());
  const auto is_revoked = [&](std::vector<RevocationListPtr> lists, absl::Duration later) {
    return IsRevoked(peer.path,
                     *TrustBundleSet::Create({{"td", TrustBundle{{ca_.root()}, std::move(lists)}}}),
                     "td", now_ + later);
  };
  const RevocationListPtr naming = MakeCrl(*ca_.root(), ca_.key(), now_, {peer.path.front()});
  EXPECT_FALSE(is_revoked({}, absl::ZeroDuration()));
  EXPECT_FALSE(is_revoked({MakeCrl(*ca_.root(), ca_.key(), now_)}, absl::ZeroDuration()));
  EXPECT_TRUE(is_revoked({naming}, absl::ZeroDuration()));
  // A list that has ended says what it said; one of somebody else says nothing.
  EXPECT_TRUE(is_revoked({naming}, absl::Hours(2)));
  EXPECT_FALSE(is_revoked({MakeCrl(*other_.root(), other_.key(), now_, {peer.path.front()})},
                          absl::ZeroDuration()));
  EXPECT_FALSE(IsRevoked(peer.path, bundles_, "nowhere", now_));
}

TEST_F(PeerIdentityTest, IsOfTheOwnTrustDomain) {
  EXPECT_THAT(Verify(Shown(other_, "other.example")), Unauthenticated("not of the trust"));
}

TEST_F(PeerIdentityTest, TakesWhatTheLibrarySaysAndTheCertificateOnlyTogether) {
  FakeAuthContext of_another;
  of_another.Add(GRPC_X509_PEM_CERT_PROPERTY_NAME, ca_.IssueSvid(kPath).chain.front()->ToPem());
  EXPECT_THAT(Verify(of_another), Unauthenticated("exactly one SPIFFE ID"));
  of_another.Add(GRPC_PEER_SPIFFE_ID_PROPERTY_NAME, "spiffe://td/ns/demo/sa/other");
  EXPECT_THAT(Verify(of_another), Unauthenticated("disagree"));
  of_another.Add(GRPC_PEER_SPIFFE_ID_PROPERTY_NAME, id_);
  EXPECT_THAT(Verify(of_another), Unauthenticated("exactly one SPIFFE ID"));
  FakeAuthContext garbage;
  garbage.Add(GRPC_X509_PEM_CERT_PROPERTY_NAME, "no certificate");
  garbage.Add(GRPC_PEER_SPIFFE_ID_PROPERTY_NAME, id_);
  EXPECT_THAT(Verify(garbage), Unauthenticated("cannot be read"));
}

TEST(BearerTokenTest, IsTheOneTokenOfTheMetadata) {
  const auto token = [](const std::vector<std::string>& values) {
    grpc::ServerContext context;
    grpc::testing::ServerContextTestSpouse spouse(&context);
    for (const std::string& value : values) spouse.AddClientMetadata("authorization", value);
    const absl::StatusOr<absl::string_view> found = BearerToken(context);
    if (!found.ok()) return found.status().ToString();
    return std::string(*found);
  };
  EXPECT_EQ(token({"Bearer abc"}), "abc");
  EXPECT_EQ(token({"bearer abc"}), "abc");
  EXPECT_EQ(token({"BEARER  abc"}), "abc");
  EXPECT_EQ(token({}), "");
  EXPECT_THAT(token({"Bearer abc", "Bearer abc"}), HasSubstr("more than one"));
  for (const char* other : {"Basic abc", "Bearer", "Bearerabc", "abc", ""}) {
    EXPECT_THAT(token({other}), HasSubstr("UNAUTHENTICATED: the authorization is of another"));
  }
  EXPECT_THAT(token({"Bearer "}), HasSubstr("no token"));
}

}  // namespace
}  // namespace byrnie
