#include "controlplane/webhook/server_tls.h"

#include <memory>
#include <string>
#include <utility>

#include "common/base/status_matchers.h"
#include "common/crypto/private_key.h"
#include "common/tls/testing/tls_pair.h"
#include "controlplane/ca/authority.h"
#include "controlplane/ca/testing/self_signed.h"
#include "controlplane/server/server_identity.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr char kHost[] = "byrnie-controlplane.byrnie-system.svc";

// The client is as an API server: it knows a name and a root.
class ServerTlsTest : public TlsPairTest {
 protected:
  ServerTlsTest()
      : authority_(SelfSigned("td", loop_.WallNow()), loop_.clock()),
        identity_(ServerIdentity::Create(&authority_, loop_.clock(), absl::Minutes(10), {kHost})
                      .value()) {}

  // What the server's new connection says to a new client.
  absl::Status Meet(std::shared_ptr<const TlsContext> context) {
    Pair({}, {});
    TlsEndpoint client, server;
    server.Start(&loop_, pair_->TakeB(), std::move(context), {});
    client.Start(
        &loop_, pair_->TakeA(),
        *TlsContext::CreateForNamedServer("http/1.1", NamedServer{kHost, {authority_.root()}}), {});
    loop_.RunUntilIdle();
    return client.handshake();
  }

  Authority authority_;
  std::unique_ptr<ServerIdentity> identity_;
};

TEST_F(ServerTlsTest, ShowsTheCurrentCertificateAtEveryConnection) {
  ServerTls tls(identity_.get());
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const TlsContext> first, tls.Current());
  EXPECT_THAT(Meet(first), IsOk());
  EXPECT_EQ(*tls.Current(), first);
  loop_.AdvanceTime(absl::Minutes(9));
  ASSERT_THAT(identity_->RotateIfDue(), IsOkAndHolds(true));
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const TlsContext> second, tls.Current());
  EXPECT_NE(second, first);
  // A handshake that began with the one before.
  EXPECT_THAT(Meet(first), IsOk());
  loop_.AdvanceTime(absl::Minutes(2));
  EXPECT_FALSE(Meet(first).ok()) << "it has expired";
  EXPECT_THAT(Meet(second), IsOk());
}

TEST_F(ServerTlsTest, SignsForTheLastTwoCertificatesAlone) {
  KeySigner signer;
  int denied = 0, signed_ones = 0;
  const auto ask = [&](const std::string& leaf, uint16_t scheme = 0x0403) {
    signer.Sign(leaf, scheme, "input", &loop_, [&](absl::StatusOr<std::string> signature) {
      ++(signature.ok() ? signed_ones : denied);
    });
    loop_.RunUntilIdle();
  };
  ask("");
  EXPECT_EQ(denied, 1);
  const std::shared_ptr<const PrivateKey> key = PrivateKey::Generate().value();
  for (const char* leaf : {"a", "b", "c"}) signer.Use(leaf, key);
  ask("a");
  ask("c", 0x0804);
  EXPECT_EQ(denied, 3);
  ask("b");
  ask("c");
  EXPECT_EQ(signed_ones, 2);
}

}  // namespace
}  // namespace byrnie
