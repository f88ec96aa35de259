// The protocol's rules, message by message, without gRPC.

#include "certagent/workload_api/secret_subscription.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using envoy::extensions::transport_sockets::tls::v3::Secret;
using envoy::extensions::transport_sockets::tls::v3::SPIFFECertValidatorConfig;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr char kId[] = "spiffe://td/app";
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

// What may change of a workload, and the catalog of it.
class World {
 public:
  World() { Build(); }
  const SecretCatalog* catalog() const { return catalog_.get(); }
  const PrivateKey& key() const { return *identity_.key; }
  const TestCa& other() const { return other_; }
  const TestCa& own() const { return ca_; }

  void Rotate() {
    identity_ = ca_.IssueSvid("/app");
    Build();
  }
  void Federate(bool on) {
    federated_ = on;
    Build();
  }
  void Revoke() {
    revoking_ = true;
    Build();
  }
  // The same again, published anew.
  void Build() {
    TrustBundleMap bundles;
    bundles["td"].roots = {ca_.root()};
    if (federated_) bundles["other"].roots = {other_.root()};
    if (revoking_) bundles["td"].crls = {MakeCrl(*ca_.certificate(), ca_.key(), kNow)};
    auto state = std::make_shared<WorkloadState>();
    state->snapshot = *IdentitySnapshot::Create(++generation_, identity_.chain,
                                                *TrustBundleSet::Create(std::move(bundles)), kNow);
    state->key = identity_.key;
    catalog_ = std::make_unique<SecretCatalog>(std::move(state));
  }

 private:
  const TestCa ca_{"td", kNow}, other_{"other", kNow};
  TestIdentity identity_ = ca_.IssueSvid("/app");
  bool federated_ = false, revoking_ = false;
  uint64_t generation_ = 0;
  std::unique_ptr<SecretCatalog> catalog_;
};

Secret Parse(const google::protobuf::Any& resource) {
  EXPECT_EQ(resource.type_url(), kSecretTypeUrl);
  Secret secret;
  EXPECT_TRUE(secret.ParseFromString(resource.value()));
  return secret;
}

std::vector<std::string> Names(const SecretSubscription::Response& response) {
  std::vector<std::string> names;
  for (const auto& resource : response.resources()) names.push_back(Parse(resource).name());
  return names;
}

class StateOfTheWorldTest : public ::testing::Test {
 protected:
  using Request = SecretSubscription::Request;
  using Response = SecretSubscription::Response;

  Request Ask(const std::vector<std::string>& names, const std::string& nonce = "",
              const std::string& version = "") {
    Request request;
    request.set_type_url(kSecretTypeUrl);
    request.set_response_nonce(nonce);
    request.set_version_info(version);
    for (const std::string& name : names) request.add_resource_names(name);
    return request;
  }
  absl::StatusOr<absl::optional<SecretFeedback>> Send(const Request& request) {
    return subscription_.OnRequest(request);
  }
  absl::optional<Response> Next() { return subscription_.Next(world_.catalog()); }
  // Subscribes and takes the first response.
  Response Begin(const std::vector<std::string>& names) {
    EXPECT_THAT(Send(Ask(names)), IsOk());
    absl::optional<Response> response = Next();
    EXPECT_TRUE(response.has_value());
    return response.value_or(Response());
  }

  World world_;
  SecretSubscription subscription_;
};

TEST_F(StateOfTheWorldTest, GivesTheCertificateWithItsKeyAndTheRoots) {
  const Response response = Begin({"default", "ROOTCA"});
  ASSERT_THAT(Names(response), ElementsAre("default", "ROOTCA"));
  const Secret certificate = Parse(response.resources(0));
  EXPECT_EQ(certificate.tls_certificate().private_key().inline_bytes(),
            world_.key().ToPem().view());
  EXPECT_THAT(certificate.tls_certificate().certificate_chain().inline_bytes(),
              HasSubstr("BEGIN CERTIFICATE"));
  const Secret roots = Parse(response.resources(1));
  EXPECT_EQ(roots.validation_context().trusted_ca().inline_bytes(), world_.own().root()->ToPem());
  EXPECT_EQ(response.type_url(), kSecretTypeUrl);
  EXPECT_FALSE(response.version_info().empty());
}

TEST_F(StateOfTheWorldTest, ARevocationListComesWithTheRoots) {
  EXPECT_FALSE(Parse(Begin({"ROOTCA"}).resources(0)).validation_context().has_crl());
  world_.Revoke();
  const Secret roots = Parse(Next()->resources(0));
  EXPECT_THAT(roots.validation_context().crl().inline_bytes(), HasSubstr("BEGIN X509 CRL"));
}

TEST_F(StateOfTheWorldTest, KnowsEveryNameInTheWild) {
  world_.Federate(true);
  const Response response =
      Begin({kId, "spiffe://td", "spiffe://other", "other", "ALL", "nobody", "spiffe://nobody"});
  EXPECT_THAT(Names(response), ElementsAre(kId, "spiffe://td", "spiffe://other", "other", "ALL"));
  EXPECT_EQ(Parse(response.resources(2)).validation_context().trusted_ca().inline_bytes(),
            world_.other().root()->ToPem());
  const Secret all = Parse(response.resources(4));
  const auto& custom = all.validation_context().custom_validator_config();
  EXPECT_EQ(custom.name(), "envoy.tls.cert_validator.spiffe");
  SPIFFECertValidatorConfig config;
  ASSERT_TRUE(custom.typed_config().UnpackTo(&config));
  ASSERT_EQ(config.trust_domains_size(), 2);
  EXPECT_EQ(config.trust_domains(0).name(), "other");
  EXPECT_EQ(config.trust_domains(1).trust_bundle().inline_bytes(), world_.own().root()->ToPem());
}

TEST_F(StateOfTheWorldTest, SaysNothingBeforeItIsAskedOrKnowsAnything) {
  EXPECT_FALSE(Next().has_value());
  ASSERT_THAT(Send(Ask({"default"})), IsOk());
  EXPECT_FALSE(subscription_.Next(nullptr).has_value());
  EXPECT_TRUE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, SendsNothingTwice) {
  const Response first = Begin({"default"});
  EXPECT_FALSE(Next().has_value());
  auto feedback = Send(Ask({"default"}, first.nonce(), first.version_info()));
  ASSERT_TRUE(feedback.ok() && feedback->has_value());
  EXPECT_EQ((*feedback)->error, "");
  EXPECT_FALSE(Next().has_value());
  world_.Build();  // Published anew, the same.
  EXPECT_FALSE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, SendsEverythingWantedWhenAnyOfItChanges) {
  const Response first = Begin({"default", "ROOTCA"});
  world_.Rotate();
  const Response second = *Next();
  EXPECT_THAT(Names(second), ElementsAre("default", "ROOTCA"));
  EXPECT_NE(second.nonce(), first.nonce());
  EXPECT_NE(second.version_info(), first.version_info());
}

TEST_F(StateOfTheWorldTest, AChangeOfWhatIsNotWantedIsNoNews) {
  Begin({"ROOTCA"});
  world_.Rotate();
  EXPECT_FALSE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, ASlowReaderGetsTheNewestOnly) {
  Begin({"default"});
  for (int i = 0; i < 10; ++i) world_.Rotate();
  const Response response = *Next();
  EXPECT_EQ(Parse(response.resources(0)).tls_certificate().private_key().inline_bytes(),
            world_.key().ToPem().view());
  EXPECT_FALSE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, DoesNotRepeatWhatWasRejectedUntilItChanges) {
  const Response first = Begin({"default"});
  Request reject = Ask({"default"}, first.nonce());
  reject.mutable_error_detail()->set_message("no good");
  auto feedback = Send(reject);
  ASSERT_TRUE(feedback.ok() && feedback->has_value());
  EXPECT_EQ((*feedback)->error, "no good");
  EXPECT_EQ((*feedback)->nonce, first.nonce());
  EXPECT_FALSE(Next().has_value());
  world_.Rotate();
  EXPECT_TRUE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, AnotherVersionWithoutAnErrorIsARejectionToo) {
  const Response first = Begin({"default"});
  auto feedback = Send(Ask({"default"}, first.nonce(), "older"));
  ASSERT_TRUE(feedback.ok() && feedback->has_value());
  EXPECT_EQ((*feedback)->error, "no reason given");
  EXPECT_FALSE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, ANewNameInARejectionStillCounts) {
  const Response first = Begin({"default"});
  Request reject = Ask({"default", "ROOTCA"}, first.nonce());
  reject.mutable_error_detail()->set_message("no good");
  ASSERT_THAT(Send(reject), IsOk());
  EXPECT_THAT(Names(*Next()), ElementsAre("default", "ROOTCA"));
}

TEST_F(StateOfTheWorldTest, IgnoresAnOlderNonce) {
  const Response first = Begin({"default"});
  world_.Rotate();
  const Response second = *Next();
  auto feedback = Send(Ask({"ROOTCA"}, first.nonce(), first.version_info()));
  ASSERT_THAT(feedback, IsOk());
  EXPECT_FALSE(feedback->has_value());
  EXPECT_FALSE(Next().has_value()) << "its names count no more than the rest";
  EXPECT_THAT(Send(Ask({"ROOTCA"})), IsOk());
  EXPECT_FALSE(Next().has_value()) << "no nonce is as old as can be";
  EXPECT_THAT(Send(Ask({"default", "ROOTCA"}, second.nonce(), second.version_info())), IsOk());
  EXPECT_TRUE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, TakesTheNonceOfAnEarlierStream) {
  ASSERT_THAT(Send(Ask({"default"}, "17", "version of before")), IsOk());
  EXPECT_TRUE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, FewerNamesAreNoNewsAndMoreAre) {
  const Response first = Begin({"default", "ROOTCA"});
  ASSERT_THAT(Send(Ask({"default"}, first.nonce(), first.version_info())), IsOk());
  EXPECT_FALSE(Next().has_value());
  ASSERT_THAT(Send(Ask({"default", "ROOTCA"}, first.nonce(), first.version_info())), IsOk());
  EXPECT_THAT(Names(*Next()), ElementsAre("default", "ROOTCA"));
}

TEST_F(StateOfTheWorldTest, ANameThatMeansNothingIsAnsweredWhenItDoes) {
  ASSERT_THAT(Send(Ask({"spiffe://other"})), IsOk());
  EXPECT_FALSE(Next().has_value());
  world_.Federate(true);
  EXPECT_THAT(Names(*Next()), ElementsAre("spiffe://other"));
  world_.Federate(false);
  const Response gone = *Next();
  EXPECT_THAT(Names(gone), IsEmpty()) << "what is absent has been withdrawn";
  EXPECT_FALSE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, WhoNamesNothingGetsAll) {
  const Response first = Begin({});
  EXPECT_THAT(Names(first), ElementsAre(kId, "spiffe://td"));
  ASSERT_THAT(Send(Ask({}, first.nonce(), first.version_info())), IsOk());
  world_.Federate(true);
  const Response second = *Next();
  EXPECT_THAT(Names(second), ElementsAre(kId, "spiffe://other", "spiffe://td"));
  world_.Federate(false);
  EXPECT_THAT(Names(*Next()), ElementsAre(kId, "spiffe://td"));
}

TEST_F(StateOfTheWorldTest, WhoNamedSomethingAndNamesNothingNowWantsNothing) {
  const Response first = Begin({"default"});
  ASSERT_THAT(Send(Ask({}, first.nonce(), first.version_info())), IsOk());
  world_.Rotate();
  EXPECT_FALSE(Next().has_value());
}

TEST_F(StateOfTheWorldTest, RefusesOtherTypesAndTooMuch) {
  Request other = Ask({"default"});
  other.set_type_url("type.googleapis.com/envoy.config.cluster.v3.Cluster");
  EXPECT_THAT(Send(other), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Send(Ask(std::vector<std::string>(65, "default"))),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Send(Ask({std::string(2049, 'a')})), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Send(Ask({""})), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(Next().has_value());
}

class DeltaTest : public ::testing::Test {
 protected:
  using Request = DeltaSecretSubscription::Request;
  using Response = DeltaSecretSubscription::Response;

  Request Ask(const std::vector<std::string>& subscribe,
              const std::vector<std::string>& unsubscribe = {}, const std::string& nonce = "") {
    Request request;
    request.set_type_url(kSecretTypeUrl);
    request.set_response_nonce(nonce);
    for (const std::string& name : subscribe) request.add_resource_names_subscribe(name);
    for (const std::string& name : unsubscribe) request.add_resource_names_unsubscribe(name);
    return request;
  }
  absl::StatusOr<absl::optional<SecretFeedback>> Send(const Request& request) {
    return subscription_.OnRequest(request);
  }
  absl::optional<Response> Next() { return subscription_.Next(world_.catalog()); }
  Response Begin(const std::vector<std::string>& names) {
    EXPECT_THAT(Send(Ask(names)), IsOk());
    absl::optional<Response> response = Next();
    EXPECT_TRUE(response.has_value());
    return response.value_or(Response());
  }
  static std::vector<std::string> Names(const Response& response) {
    std::vector<std::string> names;
    for (const auto& resource : response.resources()) {
      EXPECT_EQ(Parse(resource.resource()).name(), resource.name());
      names.push_back(resource.name());
    }
    return names;
  }
  static std::vector<std::string> Removed(const Response& response) {
    return {response.removed_resources().begin(), response.removed_resources().end()};
  }

  World world_;
  DeltaSecretSubscription subscription_;
};

TEST_F(DeltaTest, SendsOnlyWhatDiffers) {
  const Response first = Begin({"default", "ROOTCA"});
  EXPECT_THAT(Names(first), UnorderedElementsAre("default", "ROOTCA"));
  EXPECT_FALSE(Next().has_value());
  world_.Rotate();
  EXPECT_THAT(Names(*Next()), ElementsAre("default"));
  world_.Federate(true);
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaTest, SaysThatANameMeansNothingOnce) {
  const Response first = Begin({"spiffe://other", "default"});
  EXPECT_THAT(Removed(first), ElementsAre("spiffe://other"));
  EXPECT_FALSE(Next().has_value());
  world_.Federate(true);
  EXPECT_THAT(Names(*Next()), ElementsAre("spiffe://other"));
  world_.Federate(false);
  EXPECT_THAT(Removed(*Next()), ElementsAre("spiffe://other"));
}

TEST_F(DeltaTest, WhoHasTheVersionIsNotSentIt) {
  Request request = Ask({"default", "ROOTCA"});
  (*request.mutable_initial_resource_versions())["ROOTCA"] = world_.catalog()->VersionOf("ROOTCA");
  (*request.mutable_initial_resource_versions())["default"] = "older";
  (*request.mutable_initial_resource_versions())["elsewhere"] = "1";
  ASSERT_THAT(Send(request), IsOk());
  const Response response = *Next();
  EXPECT_THAT(Names(response), ElementsAre("default"));
  EXPECT_THAT(Removed(response), IsEmpty());
}

TEST_F(DeltaTest, WhoSubscribesAgainIsSentItAgain) {
  Begin({"default"});
  ASSERT_THAT(Send(Ask({"default"})), IsOk());
  EXPECT_THAT(Names(*Next()), ElementsAre("default"));
}

TEST_F(DeltaTest, UnsubscribingEndsUpdates) {
  Begin({"default", "ROOTCA"});
  ASSERT_THAT(Send(Ask({}, {"default"})), IsOk());
  world_.Rotate();
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaTest, DoesNotRepeatWhatWasRejectedUntilItChanges) {
  const Response first = Begin({"default"});
  Request reject = Ask({}, {}, first.nonce());
  reject.mutable_error_detail()->set_message("no good");
  auto feedback = Send(reject);
  ASSERT_TRUE(feedback.ok() && feedback->has_value());
  EXPECT_EQ((*feedback)->error, "no good");
  EXPECT_FALSE(Next().has_value());
  world_.Rotate();
  EXPECT_TRUE(Next().has_value());
}

TEST_F(DeltaTest, NamesCountWithAnOlderNonceButNotWhatItSays) {
  const Response first = Begin({"default"});
  world_.Rotate();
  ASSERT_TRUE(Next().has_value());
  Request stale = Ask({"ROOTCA"}, {}, first.nonce());
  stale.mutable_error_detail()->set_message("no good");
  auto feedback = Send(stale);
  ASSERT_THAT(feedback, IsOk());
  EXPECT_FALSE(feedback->has_value());
  EXPECT_THAT(Names(*Next()), ElementsAre("ROOTCA"));
}

TEST_F(DeltaTest, WhoNamesNothingAtFirstGetsAllAndEveryChange) {
  EXPECT_THAT(Names(Begin({})), UnorderedElementsAre(kId, "spiffe://td"));
  world_.Federate(true);
  EXPECT_THAT(Names(*Next()), ElementsAre("spiffe://other"));
  world_.Federate(false);
  EXPECT_THAT(Removed(*Next()), ElementsAre("spiffe://other"));
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaTest, TheWildcardCanBeNamedAndEnded) {
  EXPECT_THAT(Names(Begin({"*", "ROOTCA"})), UnorderedElementsAre("ROOTCA", kId, "spiffe://td"));
  ASSERT_THAT(Send(Ask({}, {"*"})), IsOk());
  world_.Rotate();
  EXPECT_FALSE(Next().has_value());
}

TEST_F(DeltaTest, RefusesOtherTypesAndTooMuch) {
  Request other = Ask({"default"});
  other.set_type_url("type.googleapis.com/envoy.config.cluster.v3.Cluster");
  EXPECT_THAT(Send(other), StatusIs(absl::StatusCode::kInvalidArgument));
  for (int i = 0; i < 64; ++i) EXPECT_THAT(Send(Ask({absl::StrCat("n", i)})), IsOk());
  EXPECT_THAT(Send(Ask({"one too many"})), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace byrnie
