#include "controlplane/operator/trust_calls.h"

#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/grpc/error_details.h"
#include "common/tls/testing/test_ca.h"
#include "controlplane/audit/testing/memory_issuance_store.h"
#include "controlplane/store/testing/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

namespace v1 = byrnie::operator_::v1;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr absl::Duration kTtl = absl::Hours(1);
constexpr char kSerial[] = "0a1b";

// Of the first violation; empty: there is none.
std::string FieldOf(const absl::Status& status) {
  google::rpc::BadRequest bad;
  if (!absl::IsInvalidArgument(status) || !GetDetail(status, &bad)) return "";
  return bad.field_violations_size() == 1 ? bad.field_violations(0).field() : "";
}

class TrustCallsTest : public ::testing::Test {
 protected:
  TrustCallsTest() {
    TrustKeeper::Options options;
    options.trust_domain = "cluster.local";
    options.workload_ttl = kTtl;
    trust_ = *TrustKeeper::Create(&store_, std::move(options), &clock_, &logger_, &metrics_);
    calls_ = std::make_unique<TrustCalls>(trust_.get(), &log_, kTtl, &clock_);
  }
  void Issue(const std::string& serial, const std::string& replaces = "",
             const std::string& audience = "") {
    IssuanceRecord record;
    record.issued_at = clock_.WallNow();
    record.serial = serial;
    record.replaces = replaces;
    if (!audience.empty()) record.audience = {audience};
    record.identity = "spiffe://cluster.local/a";
    record.not_after = record.issued_at + kTtl;
    ASSERT_THAT(log_.Append(std::move(record)), IsOk());
  }
  // An entry that cannot be read; `replaces` is what its bytes still say.
  void Damage(const std::string& serial, const std::string& replaces = "") {
    IssuanceRecord damaged;
    damaged.issued_at = damaged.not_after = clock_.WallNow();
    damaged.serial = serial;
    damaged.replaces = replaces;
    damaged.proof = kUnreadableProof;
    ASSERT_THAT(log_.Append(std::move(damaged)), IsOk());
  }
  absl::Status Revoke(const std::string& serial, bool accept_unknown = false, bool only = false) {
    v1::RevokeCertificateRequest request;
    request.set_only(only);
    request.set_serial(serial);
    request.set_accept_unknown(accept_unknown);
    response_.Clear();
    return calls_->RevokeCertificate("admin", request, &response_, &revoked_);
  }

  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  MemoryStore store_;
  MemoryIssuanceStore issuances_;
  IssuanceLog log_{&issuances_, nullptr, {}, &clock_, &logger_, &metrics_};
  std::unique_ptr<TrustKeeper> trust_;
  std::unique_ptr<TrustCalls> calls_;
  v1::RevokeCertificateResponse response_;
  size_t revoked_ = 0;
};

TEST_F(TrustCallsTest, RevokesWhatWasIssued) {
  Issue(kSerial);
  ASSERT_THAT(Revoke(kSerial), IsOk());
  EXPECT_EQ(response_.spiffe_id(), "spiffe://cluster.local/a");
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre(kSerial));
}

// Of it nobody knows when it ends.
TEST_F(TrustCallsTest, RevokesWhatTheLogCannotRead) {
  Damage("0a00");
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_EQ(response_.warning(), "");
  EXPECT_FALSE(response_.ended());
  EXPECT_EQ(response_.spiffe_id(), "");
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre("0a00"));
  v1::ListIssuancesResponse listed;
  ASSERT_THAT(calls_->ListIssuances({}, &listed), IsOk());
  ASSERT_EQ(listed.issuances_size(), 1);
  EXPECT_FALSE(listed.issuances(0).has_not_after());
  EXPECT_THAT(*calls_->NewestIssued(), ::testing::IsEmpty());
}

// Whoever has a key that was stolen renews it before anybody finds out.
TEST_F(TrustCallsTest, RevokesWhatWasRenewedFromIt) {
  Issue("0a00");
  Issue("0b00");
  Issue("0a01", "0a00");
  Issue("0b01", "0b00");
  Issue("0a02", "0a01");
  Issue("0a03", "0a02", "somebody");
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre("0a00", "0a01", "0a02"));
  EXPECT_EQ(response_.renewed(), 2u);
  EXPECT_EQ(response_.jwt_svids(), 1u);
  EXPECT_EQ(response_.jwt_svids_until().seconds(), absl::ToUnixSeconds(clock_.WallNow() + kTtl));
  EXPECT_FALSE(response_.ended());
  EXPECT_THAT(trust_->revocations()->List()[1].reason, HasSubstr("renewed from 0a00"));
  // Again it says the same, and what has come since.
  Issue("0a04", "0a02");
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_EQ(response_.renewed(), 3u);
}

// Whoever watches is told of each once.
TEST_F(TrustCallsTest, CountsWhatItHasRevokedThatWasNotBefore) {
  Issue("0a00");
  Issue("0a01", "0a00");
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_EQ(revoked_, 2u);
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_EQ(revoked_, 0u);
  // One that ends meanwhile hides nothing.
  clock_.Advance(kTtl);
  Issue("0b00");
  ASSERT_THAT(Revoke("0b00"), IsOk());
  EXPECT_EQ(revoked_, 1u);
  EXPECT_THAT(Revoke("0c00"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(revoked_, 0u);
}

// What is revoked stays revoked, whatever becomes of the rest.
TEST_F(TrustCallsTest, CountsWhatItHasRevokedWithAnErrorToo) {
  Issue("0a00");
  Issue("0a01", "0a00");
  Issue("what", "0a00");
  EXPECT_FALSE(Revoke("0a00").ok());
  EXPECT_EQ(revoked_, 2u);
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre("0a00", "0a01"));
}

// Nobody knows whether it was, so nobody is to believe that all is done.
TEST_F(TrustCallsTest, NamesWhatCannotBeReadAndMayHaveBeenRenewedFromIt) {
  Issue("0a00");
  Damage("0a01");
  clock_.Advance(absl::Minutes(1));
  Issue("0a02", "0a01");
  Damage("0b01");
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre("0a00"));
  EXPECT_EQ(response_.unreadable_total(), 2u);
  ASSERT_EQ(response_.unreadable_size(), 2);
  EXPECT_EQ(response_.unreadable(0).serial(), "0a01");
  EXPECT_EQ(response_.unreadable(0).issued_at().seconds(),
            absl::ToUnixSeconds(clock_.WallNow() - absl::Minutes(1)));
  EXPECT_THAT(response_.warning(),
              AllOf(HasSubstr("2 entries"), HasSubstr("renewed from 0a00"), HasSubstr("0a01 of"),
                    HasSubstr("0b01 of"), HasSubstr("revoke each by its serial")));
  // Which is what it says.
  ASSERT_THAT(Revoke("0a01"), IsOk());
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre("0a00", "0a01", "0a02"));
  EXPECT_THAT(response_.warning(), HasSubstr("1 entry"));
  ASSERT_THAT(Revoke("0b01"), IsOk());
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_EQ(response_.warning(), "");
  EXPECT_EQ(response_.unreadable_total(), 0u);
}

TEST_F(TrustCallsTest, RevokesWhatCannotBeReadWhereItsBytesTellThatItWasRenewedFromIt) {
  Issue("0a00");
  clock_.Advance(kTtl / 2);
  Damage("0a01", "0a00");
  clock_.Advance(kTtl);
  Issue("0a02", "0a01");
  // Nobody knows when it ends, and the first one has ended.
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_TRUE(response_.ended());
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre("0a01", "0a02"));
  EXPECT_EQ(response_.renewed(), 2u);
  EXPECT_EQ(response_.warning(), "");
  EXPECT_EQ(trust_->revocations()->List()[0].identity, "spiffe://cluster.local/a");
  EXPECT_EQ(trust_->revocations()->List()[0].not_after, clock_.WallNow() + kTtl);
}

TEST_F(TrustCallsTest, OfOneThatHasEndedItSaysThatSomethingMayGoOnAllTheSame) {
  Issue("0a00");
  clock_.Advance(kTtl / 2);
  Damage("0a01");
  clock_.Advance(kTtl);
  EXPECT_THAT(Revoke("0a00"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("has ended"), HasSubstr("1 entry"), HasSubstr("0a01 of"))));
  EXPECT_THAT(Revoke("0a00", false, /*only=*/true),
              StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("0a01"))));
}

TEST_F(TrustCallsTest, NamesAHundredOfManyThatCannotBeRead) {
  Issue("0a00");
  for (int i = 0; i < 120; ++i) Damage(absl::StrCat("0b", i + 100));
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_EQ(response_.unreadable_total(), 120u);
  EXPECT_EQ(response_.unreadable_size(), 100);
  EXPECT_THAT(response_.warning(), AllOf(HasSubstr("and others"), HasSubstr("rotate the root")));
}

TEST_F(TrustCallsTest, RevokesNothingElseWhenToldSo) {
  Issue("0a00");
  Issue("0a01", "0a00");
  ASSERT_THAT(Revoke("0a00", false, /*only=*/true), IsOk());
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre("0a00"));
  EXPECT_EQ(response_.renewed(), 0u);
}

// The theft is found out a day later.
TEST_F(TrustCallsTest, OfACertificateThatHasEndedItRevokesWhatGoesOn) {
  Issue("0a00");
  clock_.Advance(kTtl / 2);
  Issue("0a01", "0a00");
  clock_.Advance(kTtl * 3 / 4);
  EXPECT_THAT(Revoke("0a00", false, /*only=*/true), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Revoke("0a00"), IsOk());
  EXPECT_TRUE(response_.ended());
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre("0a01"));
  clock_.Advance(kTtl);
  EXPECT_THAT(Revoke("0a00"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has ended")));
}

// Else a slip of the pen looks like a revocation, and the certificate stays good.
TEST_F(TrustCallsTest, RefusesASerialThatNobodyWasGiven) {
  Issue(kSerial);
  EXPECT_THAT(Revoke("0a1c"),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("0a1c"), HasSubstr("issuances"),
                                                          HasSubstr("accept_unknown"))));
  EXPECT_THAT(calls_->RevokedSerials(), IsEmpty());
}

TEST_F(TrustCallsTest, RevokesWhatTheLogHasLostWhenToldTo) {
  ASSERT_THAT(Revoke("0a1c", true), IsOk());
  EXPECT_EQ(response_.spiffe_id(), "");
  EXPECT_EQ(response_.until().seconds(), absl::ToUnixSeconds(clock_.WallNow() + 2 * kTtl));
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre("0a1c"));
}

TEST_F(TrustCallsTest, DoesNotTakeALogThatCannotBeReadForAnEmptyOne) {
  Issue(kSerial);
  issuances_.FailWith(absl::UnavailableError("disk on fire"));
  EXPECT_THAT(Revoke(kSerial), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("fire")));
  EXPECT_THAT(calls_->RevokedSerials(), IsEmpty());
  EXPECT_THAT(Revoke(kSerial, true), IsOk());
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre(kSerial));
  EXPECT_THAT(response_.warning(), AllOf(HasSubstr("disk on fire"), HasSubstr("once more")));
}

TEST_F(TrustCallsTest, ATokenIsOfOneListOfIssuances) {
  for (const char* serial : {"0a00", "0b00", "0c00"}) Issue(serial);
  v1::ListIssuancesRequest request;
  request.set_page_size(2);
  v1::ListIssuancesResponse response;
  ASSERT_THAT(calls_->ListIssuances(request, &response), IsOk());
  EXPECT_EQ(response.issuances_size(), 2);
  const std::string token = response.next_page_token();
  EXPECT_THAT(token, Not(HasSubstr("0b00")));
  request.set_page_token(token);
  request.set_page_size(7);
  response.Clear();
  ASSERT_THAT(calls_->ListIssuances(request, &response), IsOk());
  ASSERT_EQ(response.issuances_size(), 1);
  EXPECT_EQ(response.issuances(0).serial(), "0c00");
  EXPECT_EQ(response.next_page_token(), "");
  request.set_spiffe_id("spiffe://cluster.local/a");
  EXPECT_EQ(FieldOf(calls_->ListIssuances(request, &response)), "page_token");
  request.clear_spiffe_id();
  request.mutable_until()->set_seconds(1);
  EXPECT_EQ(FieldOf(calls_->ListIssuances(request, &response)), "page_token");
  request.clear_until();
  request.set_page_token("issuances/zzzz");
  EXPECT_EQ(FieldOf(calls_->ListIssuances(request, &response)), "page_token");
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_EQ(FieldOf(calls_->ListIssuances(request, &response)), "page_size");
}

TEST_F(TrustCallsTest, ErrorsSayForProgramsWhatTheyAreAbout) {
  EXPECT_EQ(FieldOf(Revoke("no serial")), "serial");
  google::rpc::ResourceInfo resource;
  ASSERT_TRUE(GetDetail(Revoke("0a1c"), &resource));
  EXPECT_EQ(resource.resource_name(), "0a1c");
  Issue("0d00", "", "somebody");
  google::rpc::PreconditionFailure failure;
  EXPECT_TRUE(GetDetail(Revoke("0d00"), &failure));
  v1::RotateTrustRequest rotate;
  v1::Trust trust;
  for (const char* move : {"nonsense", "rollback"}) {
    rotate.set_move(move);
    EXPECT_EQ(FieldOf(calls_->RotateTrust("admin", rotate, &trust)), "move");
  }
  failure.Clear();
  rotate.set_move("taint");
  EXPECT_TRUE(GetDetail(calls_->RotateTrust("admin", rotate, &trust), &failure));
  EXPECT_EQ(failure.violations(0).type(), "ROTATION");
  rotate.clear_move();
  rotate.add_exclude("spiffe://cluster.local/nobody");
  EXPECT_EQ(FieldOf(calls_->RotateTrust("admin", rotate, &trust)), "exclude");
}

TEST_F(TrustCallsTest, SaysForProgramsThatTheListOfTheCaAboveIsMissing) {
  const TestCa root("cluster.local", clock_.WallNow());
  const TestCa middle = root.MakeIntermediate(root.IntermediateSpec());
  const std::string directory = absl::StrCat(::testing::TempDir(), "/plugged");
  ASSERT_TRUE(::mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST);
  const auto write = [&directory](const char* name, absl::string_view text) {
    ASSERT_THAT(WriteFileAtomically(absl::StrCat(directory, "/", name), text, 0600), IsOk());
  };
  write("ca-cert.pem", middle.certificate()->ToPem());
  write("ca-key.pem", middle.key().ToPem().view());
  write("root-cert.pem", root.root()->ToPem());
  TrustKeeper::Options options;
  options.trust_domain = "cluster.local";
  options.workload_ttl = kTtl;
  options.plugged_directory = directory;
  MemoryStore store;
  MetricRegistry metrics;
  ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<TrustKeeper> trust,
      TrustKeeper::Create(&store, std::move(options), &clock_, &logger_, &metrics));
  calls_ = std::make_unique<TrustCalls>(trust.get(), &log_, kTtl, &clock_);
  Issue(kSerial);
  const absl::Status status = Revoke(kSerial);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("--crl")));
  google::rpc::PreconditionFailure failure;
  ASSERT_TRUE(GetDetail(status, &failure));
  EXPECT_EQ(failure.violations(0).type(), "REVOCATION_LIST");
  calls_ = nullptr;
}

TEST_F(TrustCallsTest, RefusesWhatIsNoSerial) {
  EXPECT_THAT(Revoke("no serial", true), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Revoke("no serial"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("hexadecimal")));
}

TEST_F(TrustCallsTest, WhatIsNoIdentityAndNoSerialWasNotIssuedToNobody) {
  Issue(kSerial);
  v1::ListIssuancesResponse response;
  v1::ListIssuancesRequest request;
  request.set_spiffe_id("demo/client");
  EXPECT_EQ(FieldOf(calls_->ListIssuances(request, &response)), "spiffe_id");
  request.clear_spiffe_id();
  for (const char* none : {"zz", "0a1", "0a:1b"}) {
    request.set_serial(none);
    EXPECT_EQ(FieldOf(calls_->ListIssuances(request, &response)), "serial") << none;
  }
  request.set_serial("0A1B");
  ASSERT_THAT(calls_->ListIssuances(request, &response), IsOk());
  EXPECT_EQ(response.issuances_size(), 1);
}

TEST_F(TrustCallsTest, ASerialMayBeInCapitals) {
  Issue(kSerial);
  ASSERT_THAT(Revoke("0A1B"), IsOk());
  EXPECT_THAT(calls_->RevokedSerials(), ElementsAre(kSerial));
}

TEST_F(TrustCallsTest, TellsWhoRevokedWhatWhenAndWhy) {
  Issue("0a00");
  Issue("0a01", "0a00");
  Issue("0b00");
  v1::RevokeCertificateRequest request;
  request.set_serial("0a00");
  request.set_reason("laptop stolen");
  ASSERT_THAT(calls_->RevokeCertificate("alice", request, &response_, &revoked_), IsOk());
  v1::ListIssuancesResponse listed;
  ASSERT_THAT(calls_->ListIssuances({}, &listed), IsOk());
  ASSERT_EQ(listed.issuances_size(), 3);
  for (const v1::Issuance& issuance : listed.issuances()) {
    if (issuance.serial() == "0b00") {
      EXPECT_FALSE(issuance.has_revoked_at());
      EXPECT_EQ(issuance.revoked_by(), "");
      continue;
    }
    EXPECT_EQ(issuance.revoked_at().seconds(), absl::ToUnixSeconds(clock_.WallNow()));
    EXPECT_EQ(issuance.revoked_by(), "alice");
    EXPECT_EQ(issuance.revoked_reason(),
              issuance.serial() == "0a00" ? "laptop stolen" : "renewed from 0a00: laptop stolen");
  }
}

// Also what the log of issuances does not have, which is in no list of those.
TEST_F(TrustCallsTest, ListsWhatIsRevokedPageByPage) {
  Issue("0a00");
  Issue("0a01", "0a00");
  ASSERT_THAT(Revoke("0a00"), IsOk());
  ASSERT_THAT(Revoke("0c00", /*accept_unknown=*/true), IsOk());
  v1::ListRevocationsRequest request;
  request.set_page_size(2);
  v1::ListRevocationsResponse page;
  ASSERT_THAT(calls_->ListRevocations(request, &page), IsOk());
  ASSERT_EQ(page.revocations_size(), 2);
  EXPECT_EQ(page.revocations(0).serial(), "0a00");
  EXPECT_EQ(page.revocations(0).spiffe_id(), "spiffe://cluster.local/a");
  EXPECT_EQ(page.revocations(0).revoked_by(), "admin");
  EXPECT_EQ(page.revocations(0).revoked_at().seconds(), absl::ToUnixSeconds(clock_.WallNow()));
  EXPECT_EQ(page.revocations(0).not_after().seconds(),
            absl::ToUnixSeconds(clock_.WallNow() + kTtl));
  EXPECT_EQ(page.revocations(1).revoked_reason(), "renewed from 0a00");
  request.set_page_token(page.next_page_token());
  request.mutable_read_mask()->add_paths("revoked_by");
  page.Clear();
  ASSERT_THAT(calls_->ListRevocations(request, &page), IsOk());
  ASSERT_EQ(page.revocations_size(), 1);
  EXPECT_EQ(page.revocations(0).serial(), "");
  EXPECT_EQ(page.revocations(0).revoked_by(), "admin");
  EXPECT_EQ(page.next_page_token(), "");
  // What has ended is on no list any more.
  clock_.Advance(kTtl);
  page.Clear();
  ASSERT_THAT(calls_->ListRevocations({}, &page), IsOk());
  ASSERT_EQ(page.revocations_size(), 1);
  EXPECT_EQ(page.revocations(0).serial(), "0c00");
  request.set_page_token("what");
  EXPECT_EQ(FieldOf(calls_->ListRevocations(request, &page)), "page_token");
  request.clear_page_token();
  request.mutable_read_mask()->add_paths("nothing");
  EXPECT_EQ(FieldOf(calls_->ListRevocations(request, &page)), "read_mask");
}

}  // namespace
}  // namespace byrnie
