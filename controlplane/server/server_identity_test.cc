#include "controlplane/server/server_identity.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/crypto/certificate.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "controlplane/audit/testing/memory_issuance_store.h"
#include "controlplane/ca/testing/memory_revocation_store.h"
#include "controlplane/ca/testing/self_signed.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/x509v3.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ServerIdentityTest : public ::testing::Test {
 protected:
  // Asks until nothing is due.
  bool Rotate() {
    const absl::StatusOr<bool> rotated = identity_->RotateIfDue();
    EXPECT_THAT(rotated, IsOk());
    EXPECT_THAT(identity_->RotateIfDue(), IsOkAndHolds(false));
    return rotated.value_or(false);
  }
  bool IsValid() const {
    const auto current = identity_->current();
    return current->not_before <= clock_.WallNow() && clock_.WallNow() < current->not_after;
  }

  FakeClock clock_;
  // The CA is older than what it signs.
  Authority authority_{SelfSigned("td", clock_.WallNow() - absl::Hours(48)), &clock_};
  std::unique_ptr<ServerIdentity> identity_ = *ServerIdentity::Create(&authority_, &clock_);
  MemoryRevocationStore revocation_store_;
  const std::unique_ptr<Revocations> revocations_ = *Revocations::Load(
      &revocation_store_, absl::Hours(1), Revocations::Issuers::kAllGiven, &clock_);
};

TEST_F(ServerIdentityTest, IsInTheLogAndIsReplacedWhenItIsRevoked) {
  Logger logger(2, Logger::Format::kText, LogLevel::kError);
  MetricRegistry metrics;
  MemoryIssuanceStore issuances;
  IssuanceLog log(&issuances, nullptr, {}, &clock_, &logger, &metrics);
  identity_ =
      *ServerIdentity::Create(&authority_, &clock_, absl::Hours(1), {"a.example", "b"}, &log);
  const std::string serial = identity_->current()->serial;
  identity_->KeepCurrent("control plane", *revocations_, &logger);
  EXPECT_EQ(identity_->current()->serial, serial);
  ASSERT_THAT(revocations_->Revoke({serial, "spiffe://td/byrnie/controlplane",
                                    identity_->current()->not_after, clock_.WallNow(), "me", ""}),
              IsOk());
  identity_->KeepCurrent("control plane", *revocations_, &logger);
  const std::string next = identity_->current()->serial;
  EXPECT_NE(next, serial);
  identity_->KeepCurrent("control plane", *revocations_, &logger);
  EXPECT_EQ(identity_->current()->serial, next);
  // Whoever waits for one that came later has waited for these.
  IssuanceRecord last;
  last.issued_at = clock_.WallNow() + absl::Seconds(1);
  last.serial = "last";
  ASSERT_THAT(log.Append(last), IsOk());
  const auto page = log.Read({});
  ASSERT_THAT(page, IsOk());
  ASSERT_EQ(page->records.size(), 3u);
  std::set<std::string> logged;
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(page->records[i].identity, "spiffe://td/byrnie/controlplane");
    EXPECT_EQ(page->records[i].proof, kOwnProof);
    EXPECT_EQ(page->records[i].subject, "a.example,b");
    EXPECT_EQ(page->records[i].root, authority_.snapshot()->server_signer->root_id());
    logged.insert(page->records[i].serial);
  }
  EXPECT_EQ(logged, (std::set<std::string>{serial, next}));
}

TEST_F(ServerIdentityTest, IsForNamesAndForAddresses) {
  identity_ = *ServerIdentity::Create(&authority_, &clock_, ServerIdentity::kTtl,
                                      {"a.example", "10.0.0.1", "fd00::1"});
  ASSERT_OK_AND_ASSIGN(const CertificateChain chain,
                       Certificate::ListFromPem(identity_->current()->chain_pem));
  X509* const leaf = chain[0]->native();
  EXPECT_TRUE(chain[0]->IsForHost("a.example"));
  EXPECT_EQ(X509_check_ip_asc(leaf, "10.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(leaf, "fd00::1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(leaf, "10.0.0.2", 0), 0);
}

TEST_F(ServerIdentityTest, IsRenewedInTime) {
  EXPECT_FALSE(Rotate());
  clock_.Advance(ServerIdentity::kTtl * 0.39);
  EXPECT_FALSE(Rotate());
  clock_.Advance(ServerIdentity::kTtl * 0.02);
  EXPECT_TRUE(Rotate());
}

TEST_F(ServerIdentityTest, IsRenewedOnceAClockThatRanAheadIsRightAgain) {
  const absl::Time right = clock_.WallNow();
  for (const absl::Duration ahead : {absl::Hours(13), absl::Hours(24 * 60)}) {
    clock_.SetWall(right + ahead);
    EXPECT_TRUE(Rotate());
    clock_.SetWall(right);
    EXPECT_FALSE(IsValid());
    EXPECT_TRUE(Rotate());
    EXPECT_TRUE(IsValid());
  }
}

TEST_F(ServerIdentityTest, StaysWhereTheCaIsNotValidYetEither) {
  clock_.SetWall(clock_.WallNow() - absl::Hours(24 * 60));
  EXPECT_FALSE(IsValid());
  EXPECT_FALSE(Rotate());
}

TEST_F(ServerIdentityTest, StaysWhereTheClockIsSetBackALittle) {
  clock_.SetWall(clock_.WallNow() - absl::Seconds(30));
  EXPECT_FALSE(Rotate());
  EXPECT_TRUE(IsValid());
}

TEST_F(ServerIdentityTest, SaysOnceAMinuteThatTheCaHasEnded) {
  const int log_fd = memfd_create("log", MFD_CLOEXEC);
  {
    Logger logger(log_fd, Logger::Format::kText, LogLevel::kInfo);
    clock_.Advance(absl::Hours(24 * 365 * 30));
    for (int i = 0; i < 150; ++i) {
      identity_->KeepCurrent("control plane", *revocations_, &logger);
      clock_.Advance(absl::Milliseconds(500));
    }
  }
  std::string text(lseek(log_fd, 0, SEEK_CUR), '\0');
  EXPECT_EQ(pread(log_fd, &text[0], text.size(), 0), static_cast<ssize_t>(text.size()));
  close(log_fd);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
  EXPECT_THAT(text, AllOf(HasSubstr("cannot renew an own certificate"), HasSubstr("not_logged=0"),
                          HasSubstr("not_logged=119")));
}

}  // namespace
}  // namespace byrnie
