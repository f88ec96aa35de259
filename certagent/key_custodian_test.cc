#include "certagent/key_custodian.h"

#include <memory>
#include <string>
#include <vector>

#include "common/base/status_matchers.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/private_key.h"
#include "common/event/testing/manual_event_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::HasSubstr;

const std::string kClient = "TLS 1.3, client CertificateVerify";
const std::string kServer = "TLS 1.3, server CertificateVerify";

std::string Input(const std::string& context, size_t hash_size) {
  return std::string(64, ' ') + context + std::string(1, '\0') + std::string(hash_size, 'h');
}

struct Leaf {
  std::shared_ptr<const PrivateKey> key;
  CertificatePtr certificate;
};

class KeyCustodianTest : public ::testing::Test {
 protected:
  Leaf NewLeaf() {
    Leaf leaf;
    leaf.key = *PrivateKey::Generate();
    CertificateSpec spec;
    spec.common_name = "client";
    spec.uri_sans = {"spiffe://cluster.local/ns/demo/sa/client"};
    spec.not_before = loop_.WallNow();
    spec.not_after = loop_.WallNow() + absl::Hours(1);
    leaf.certificate = *BuildCertificate(spec, leaf.key->PublicKeyDer(), nullptr, *leaf.key);
    return leaf;
  }
  absl::Status Sign(const Leaf& leaf, uint32_t scheme, const std::string& input) {
    return custodian_.Sign(leaf.certificate->FingerprintHex(), scheme, input).status();
  }

  ManualEventLoop loop_;
  MetricRegistry metrics_;
  KeyCustodian custodian_{&loop_, &metrics_, {}};
};

TEST_F(KeyCustodianTest, SignsCertificateVerifyOfBothRolesAndAllHashes) {
  Leaf leaf = NewLeaf();
  custodian_.Install(*leaf.certificate, leaf.key);
  for (const std::string& context : {kClient, kServer}) {
    for (size_t hash : {32, 48, 64}) {
      EXPECT_THAT(Sign(leaf, 0x0403, Input(context, hash)), IsOk());
    }
  }
  EXPECT_THAT(metrics_.RenderPrometheusText(), HasSubstr("result=\"signed\"} 6"));
}

TEST_F(KeyCustodianTest, RefusesEverythingElse) {
  Leaf leaf = NewLeaf();
  custodian_.Install(*leaf.certificate, leaf.key);
  const std::string good = Input(kClient, 32);
  std::string tab_in_padding = good;
  tab_in_padding[63] = '\t';
  std::string no_zero = good;
  no_zero[64 + kClient.size()] = ' ';
  const std::string bad_inputs[] = {
      "",
      "x",
      std::string(64, ' '),
      std::string(200, ' '),
      good.substr(1),
      " " + good,
      good + "h",
      good.substr(0, good.size() - 1),
      tab_in_padding,
      no_zero,
      Input("TLS 1.3, klient CertificateVerify", 32),
      Input("TLS 1.3, exporter CertificateVerif", 32),
      Input("tls 1.3, client CertificateVerify", 32),
      Input("", 32),
      Input(kClient, 0),
      Input(kClient, 20),
      Input(kClient, 47),
      Input(kClient, 65),
      Input(kClient, 1 << 20),
  };
  for (const std::string& input : bad_inputs) {
    EXPECT_THAT(Sign(leaf, 0x0403, input),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CertificateVerify")))
        << input.substr(0, 150);
  }
  for (uint32_t scheme : {0u, 0x0401u, 0x0503u, 0x0804u, 0x0807u, 0x10403u, 0xffffffffu}) {
    EXPECT_THAT(Sign(leaf, scheme, good),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("scheme")));
  }
  EXPECT_THAT(custodian_.Sign("", 0x0403, good), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Sign(NewLeaf(), 0x0403, good), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(KeyCustodianTest, RefusesAnEmptyFingerprintBeforeTheFirstKey) {
  EXPECT_THAT(custodian_.Sign("", 0x0403, Input(kClient, 32)),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(KeyCustodianTest, ServesHandshakesThatBeganBeforeLeavesWereReplaced) {
  Leaf first = NewLeaf(), second = NewLeaf(), third = NewLeaf(), fourth = NewLeaf();
  custodian_.Install(*first.certificate, first.key);
  custodian_.Install(*second.certificate, second.key);
  custodian_.Install(*third.certificate, third.key);
  for (const Leaf* leaf : {&first, &second, &third}) {
    EXPECT_THAT(Sign(*leaf, 0x0403, Input(kServer, 32)), IsOk());
  }
  // By then no handshake is left of the first two; the third may have been current until now.
  loop_.AdvanceTime(KeyCustodian::kHandshake + absl::Milliseconds(1));
  custodian_.Install(*fourth.certificate, fourth.key);
  EXPECT_THAT(Sign(first, 0x0403, Input(kServer, 32)), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Sign(second, 0x0403, Input(kServer, 32)), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Sign(third, 0x0403, Input(kServer, 32)), IsOk());
  EXPECT_THAT(Sign(fourth, 0x0403, Input(kServer, 32)), IsOk());
}

TEST_F(KeyCustodianTest, KeepsFewLeavesHoweverFastTheyAreReplaced) {
  std::vector<Leaf> leaves;
  for (size_t i = 0; i < KeyCustodian::kMaxReplaced + 2; ++i) {
    leaves.push_back(NewLeaf());
    custodian_.Install(*leaves.back().certificate, leaves.back().key);
  }
  EXPECT_THAT(Sign(leaves[0], 0x0403, Input(kServer, 32)), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Sign(leaves[1], 0x0403, Input(kServer, 32)), IsOk());
}

TEST_F(KeyCustodianTest, RefusesALeafThatHasExpired) {
  Leaf leaf = NewLeaf();
  custodian_.Install(*leaf.certificate, leaf.key);
  loop_.AdvanceTime(absl::Hours(1) + absl::Seconds(1));
  EXPECT_THAT(Sign(leaf, 0x0403, Input(kClient, 32)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
}

TEST_F(KeyCustodianTest, RefusesALeafThatIsNotValidYet) {
  Leaf leaf = NewLeaf();
  custodian_.Install(*leaf.certificate, leaf.key);
  loop_.clock()->SetWall(leaf.certificate->not_before() - absl::Seconds(1));
  EXPECT_THAT(Sign(leaf, 0x0403, Input(kClient, 32)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("valid in 1s")));
  loop_.clock()->SetWall(leaf.certificate->not_before());
  EXPECT_THAT(Sign(leaf, 0x0403, Input(kClient, 32)), IsOk());
}

TEST_F(KeyCustodianTest, LimitsTheRateAndRecovers) {
  KeyCustodian::Options options;
  options.signatures_per_second = 10;
  options.burst = 3;
  MetricRegistry metrics;
  KeyCustodian custodian(&loop_, &metrics, options);
  Leaf leaf = NewLeaf();
  custodian.Install(*leaf.certificate, leaf.key);
  auto sign = [&] {
    return custodian.Sign(leaf.certificate->FingerprintHex(), 0x0403, Input(kClient, 32)).status();
  };
  for (int i = 0; i < 3; ++i) EXPECT_THAT(sign(), IsOk());
  EXPECT_THAT(sign(), StatusIs(absl::StatusCode::kResourceExhausted));
  loop_.AdvanceTime(absl::Milliseconds(101));
  EXPECT_THAT(sign(), IsOk());
  EXPECT_THAT(sign(), StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace byrnie
