#include "common/identity/trust_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status_matchers.h"
#include "common/base/testing/fake_clock.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/tls/testing/test_ca.h"
#include "common/tls/testing/test_crl.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'900'000'000);

class TrustFilesTest : public ::testing::Test {
 protected:
  TrustFilesTest() { ::unlink(bundle_.c_str()), ::unlink(crl_.c_str()); }

  void Write(const std::string& path, absl::string_view text) {
    ASSERT_THAT(WriteFileAtomically(path, text, 0600), IsOk());
  }
  absl::StatusOr<std::unique_ptr<TrustFiles>> Create() {
    TrustFiles::Options options;
    options.bundles = {{"partner", bundle_}};
    options.crls = {{"td", crl_}};
    options.metrics_prefix = "test";
    options.clock = &clock_;
    return TrustFiles::Create(options, &log_, &metrics_);
  }
  std::string CrlPem(std::vector<CertificatePtr> revoked = {}) {
    return MakeCrl(*own_.root(), own_.key(), kNow, std::move(revoked))->ToPem();
  }
  TrustBundleSet Added(const TrustFiles& files) { return *files.AddTo(own_.Bundles()); }

  const TestCa own_{"td", kNow}, partner_{"partner", kNow}, next_{"partner", kNow};
  const std::string bundle_ = testing::TempDir() + "/partner.pem";
  const std::string crl_ = testing::TempDir() + "/td.crl";
  Logger log_{open("/dev/null", O_WRONLY | O_CLOEXEC), Logger::Format::kText, LogLevel::kError};
  MetricRegistry metrics_;
  FakeClock clock_{kNow};
};

TEST_F(TrustFilesTest, AddsTrustDomainsAndListsToABase) {
  Write(bundle_, partner_.root()->ToPem());
  Write(crl_, CrlPem());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  const TrustBundleSet set = Added(*files);
  EXPECT_EQ(set.Find("partner")->roots[0]->der(), partner_.root()->der());
  EXPECT_THAT(set.Find("partner")->crls, SizeIs(0));
  EXPECT_THAT(set.Find("td")->crls, SizeIs(1));
  EXPECT_FALSE(files->Poll());
  // The same list is not taken twice.
  EXPECT_THAT(files->AddTo(set), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("own")));
  EXPECT_THAT((*WithRevocationLists(set, files->RevocationLists())).Find("td")->crls, SizeIs(1));
}

TEST_F(TrustFilesTest, FollowsChangesAndKeepsTheLastGoodContent) {
  Write(bundle_, partner_.root()->ToPem());
  Write(crl_, CrlPem());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  Write(bundle_, absl::StrCat(partner_.root()->ToPem(), next_.root()->ToPem()));
  EXPECT_TRUE(files->Poll());
  EXPECT_THAT(Added(*files).Find("partner")->roots, SizeIs(2));
  Write(bundle_, "garbage");
  EXPECT_FALSE(files->Poll());
  ::unlink(bundle_.c_str());
  EXPECT_FALSE(files->Poll());
  EXPECT_THAT(Added(*files).Find("partner")->roots, SizeIs(2));
  Write(bundle_, own_.IssueSvid("/a").chain[0]->ToPem());
  EXPECT_FALSE(files->Poll()) << "a leaf is no root";
  Write(bundle_, next_.root()->ToPem());
  EXPECT_TRUE(files->Poll());
  EXPECT_THAT(Added(*files).Find("partner")->roots, SizeIs(1));

  Write(crl_, CrlPem({own_.IssueSvid("/a").chain[0]}));
  EXPECT_TRUE(files->Poll());
  EXPECT_EQ(Added(*files).Find("td")->crls[0]->size(), 1u);
  for (const char* bad : {"", "garbage"}) {
    Write(crl_, bad);
    EXPECT_FALSE(files->Poll());
    EXPECT_FALSE(files->Poll());
    EXPECT_EQ(Added(*files).Find("td")->crls[0]->size(), 1u) << "lists end by their nextUpdate";
  }
}

TEST_F(TrustFilesTest, WithdrawsATrustDomainWhenItsFileStaysEmpty) {
  Write(bundle_, partner_.root()->ToPem());
  Write(crl_, CrlPem());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  // As a file that is being written.
  Write(bundle_, "");
  EXPECT_FALSE(files->Poll());
  Write(bundle_, partner_.root()->ToPem());
  EXPECT_FALSE(files->Poll());
  EXPECT_NE(Added(*files).Find("partner"), nullptr);
  Write(bundle_, "\n");
  EXPECT_FALSE(files->Poll());
  EXPECT_TRUE(files->Poll());
  EXPECT_EQ(Added(*files).Find("partner"), nullptr);
  EXPECT_FALSE(files->Poll());
  Write(bundle_, partner_.root()->ToPem());
  EXPECT_TRUE(files->Poll());
  EXPECT_NE(Added(*files).Find("partner"), nullptr);
}

TEST_F(TrustFilesTest, BeginsWithoutATrustDomainWhoseFileIsEmpty) {
  Write(bundle_, "");
  Write(crl_, CrlPem());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  EXPECT_EQ(Added(*files).Find("partner"), nullptr);
}

TEST_F(TrustFilesTest, DoesNotBeginWithFilesThatAreMissingOrBad) {
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kNotFound,
                                 AllOf(HasSubstr("--federated_bundle: "), HasSubstr(bundle_),
                                       HasSubstr("; give the PEM file"))));
  Write(bundle_, partner_.root()->ToPem());
  EXPECT_THAT(Create(),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("--crl: "), HasSubstr(crl_), HasSubstr("; give a PEM"))));
  Write(crl_, "");
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(crl_)));
}

TEST_F(TrustFilesTest, TakesABundleWhileOneOfItsRootsHasNotExpired) {
  const TestCa old("partner", kNow - absl::Hours(24 * 366 * 11));
  Write(crl_, CrlPem());
  Write(bundle_, old.root()->ToPem());
  EXPECT_THAT(Create(), StatusIs(absl::StatusCode::kInvalidArgument,
                                 AllOf(HasSubstr(bundle_), HasSubstr("expired"))));
  Write(bundle_, absl::StrCat(old.root()->ToPem(), partner_.root()->ToPem()));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  Write(bundle_, old.root()->ToPem());
  EXPECT_FALSE(files->Poll());
  EXPECT_THAT(Added(*files).Find("partner")->roots, SizeIs(2));
}

TEST(TrustFilesFlagTest, NamesTrustDomainAndFile) {
  ASSERT_OK_AND_ASSIGN(auto files, TrustFiles::ParseFlag("a.b=/x, /y/z,c=/w", "own"));
  ASSERT_THAT(files, SizeIs(3));
  EXPECT_EQ(files[0].trust_domain, "a.b");
  EXPECT_EQ(files[0].path, "/x");
  EXPECT_EQ(files[1].trust_domain, "own");
  EXPECT_EQ(files[1].path, "/y/z");
  EXPECT_EQ(files[2].trust_domain, "c");
  EXPECT_THAT(*TrustFiles::ParseFlag("", "own"), SizeIs(0));
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(TrustFiles::ParseFlag("/y", ""), invalid);
  EXPECT_THAT(TrustFiles::ParseFlag("A=/y", ""), invalid);
  EXPECT_THAT(TrustFiles::ParseFlag("a=", ""), invalid);
}

// Lists in force that are not of its roots, or not yet, have all of a trust domain refused.
TEST_F(TrustFilesTest, DoesNotTakeListsThatRefuseEverything) {
  const TestCa other("td", kNow);
  Write(bundle_, partner_.root()->ToPem());
  Write(crl_, CrlPem());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  ASSERT_THAT(files->SetRoots("td", {own_.root()}), IsOk());
  const auto refused = [&](const RevocationListPtr& list, const std::string& words) {
    Write(crl_, list->ToPem());
    EXPECT_FALSE(files->Poll());
    EXPECT_THAT(files->Rejected(), ElementsAre(AllOf(HasSubstr(crl_), HasSubstr(words))));
    EXPECT_TRUE(files->RevocationListsOf("td")[0]->IsIssuedBy(*own_.root()));
    EXPECT_EQ(files->RevocationListsOf("td")[0]->this_update(), kNow - absl::Hours(1));
  };
  // Both roots have one name.
  refused(MakeCrl(*other.root(), other.key(), kNow), "is signed by the root of td");
  const TestCa middle = other.MakeIntermediate(other.IntermediateSpec());
  refused(MakeCrl(*middle.certificate(), middle.key(), kNow), "signed by one of its roots");
  refused(MakeCrl(*own_.root(), own_.key(), kNow - absl::Hours(1)), "which is newer");
  // By another root it is good, without the file having changed.
  refused(MakeCrl(*other.root(), other.key(), kNow), "is signed by the root of td");
  EXPECT_THAT(files->SetRoots("td", {own_.root(), other.root()}), IsOk());
  EXPECT_TRUE(files->Poll());
  EXPECT_THAT(files->Rejected(), IsEmpty());
  // And what is in force is named once it is not any more.
  EXPECT_THAT(files->SetRoots("td", {own_.root()}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--crl")));
  EXPECT_FALSE(files->Poll());
  EXPECT_THAT(files->Rejected(), IsEmpty());
  EXPECT_THAT(files->WrongInForce(), ElementsAre(HasSubstr("is signed by the root of td")));
  EXPECT_THAT(files->SetRoots("td", {}), IsOk());
  EXPECT_FALSE(files->Poll());
  EXPECT_THAT(files->WrongInForce(), IsEmpty());
}

TEST_F(TrustFilesTest, TakesAListThatBeginsLaterWhenItHasBegun) {
  Write(bundle_, partner_.root()->ToPem());
  Write(crl_, CrlPem());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  Write(crl_, MakeCrl(*own_.root(), own_.key(), kNow + absl::Hours(2))->ToPem());
  EXPECT_FALSE(files->Poll());
  EXPECT_THAT(files->Rejected(), ElementsAre(HasSubstr("begins at")));
  clock_.Advance(absl::Hours(1));
  EXPECT_TRUE(files->Poll());
  EXPECT_THAT(files->Rejected(), IsEmpty());
  EXPECT_EQ(files->RevocationListsOf("td")[0]->this_update(), kNow + absl::Hours(1));
}

// With nothing before it, it is in force: without it nothing would be refused.
TEST_F(TrustFilesTest, NamesAListOfTheStartThatHasNotBegunAndLetsItBeCorrected) {
  const auto later = MakeCrl(*own_.root(), own_.key(), kNow + absl::Hours(24))->ToPem();
  Write(bundle_, partner_.root()->ToPem());
  Write(crl_, later);
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  EXPECT_THAT(files->Rejected(), IsEmpty());
  EXPECT_THAT(files->WrongInForce(), ElementsAre(AllOf(HasSubstr(crl_), HasSubstr("begins at"))));
  EXPECT_THAT(files->SetRoots("td", {own_.root()}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("begins at")));
  Write(crl_, CrlPem());
  EXPECT_TRUE(files->Poll());
  EXPECT_THAT(files->WrongInForce(), IsEmpty());
  Write(crl_, later);
  files = *Create();
  EXPECT_THAT(files->WrongInForce(), SizeIs(1));
  clock_.Advance(absl::Hours(24));
  files->Poll();
  EXPECT_THAT(files->WrongInForce(), IsEmpty());
}

// Of our own trust domain somebody knows what is in use, and which lists are ours.
TEST_F(TrustFilesTest, AsksTheJudgeOfATrustDomainWhetherListsMayReplaceThoseInForce) {
  const TestCa other("td", kNow), former("former", kNow);
  Write(bundle_, partner_.root()->ToPem());
  Write(crl_, MakeCrl(*former.root(), former.key(), kNow)->ToPem());
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  EXPECT_THAT(files->SetRoots("td", {own_.root()}), StatusIs(absl::StatusCode::kInvalidArgument));
  absl::Status judgement;
  size_t judged = 0;
  files->SetJudge("td", [&](const std::vector<RevocationListPtr>& lists) {
    judged = lists.size();
    return judgement;
  });
  // Though no root has signed one.
  EXPECT_FALSE(files->Poll());
  EXPECT_EQ(judged, 1u);
  EXPECT_THAT(files->WrongInForce(), IsEmpty());
  judgement = absl::FailedPreconditionError("none of the middle");
  Write(crl_, CrlPem() + CrlPem());
  EXPECT_FALSE(files->Poll());
  EXPECT_EQ(judged, 2u);
  EXPECT_THAT(files->Rejected(), ElementsAre(HasSubstr("none of the middle")));
  judgement = absl::OkStatus();
  EXPECT_TRUE(files->Poll());
  // One of a root's name that it has not signed takes back what it has revoked.
  Write(crl_, MakeCrl(*other.root(), other.key(), kNow + absl::Minutes(1))->ToPem());
  EXPECT_FALSE(files->Poll());
  EXPECT_TRUE(files->RevocationListsOf("td")[0]->IsIssuedBy(*own_.root()));
}

TEST_F(TrustFilesTest, TakesNoMoreListsThanABundle) {
  Write(bundle_, partner_.root()->ToPem());
  std::string many;
  for (size_t i = 0; i <= TrustBundleSet::kMaxRevocationLists; ++i) many += CrlPem();
  Write(crl_, many);
  EXPECT_THAT(Create().status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 64")));
}

// As of a root with a new key and the old name, each with a period of its own.
TEST_F(TrustFilesTest, HoldsOfListsOfOneNameTheNewestAgainstTheNewest) {
  const TestCa other("td", kNow);
  const auto both = [&](absl::Duration own, absl::Duration others) {
    return MakeCrl(*own_.root(), own_.key(), kNow + own)->ToPem() +
           MakeCrl(*other.root(), other.key(), kNow + others)->ToPem();
  };
  Write(bundle_, partner_.root()->ToPem());
  Write(crl_, both(-absl::Minutes(10), -absl::Minutes(50)));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  // One of them is not of a root any more, and harms nobody.
  ASSERT_THAT(files->SetRoots("td", {own_.root()}), IsOk());
  for (const std::string& next :
       {both(-absl::Minutes(5), -absl::Minutes(50)), both(absl::Minutes(1), -absl::Minutes(40)),
        both(absl::Minutes(1), -absl::Minutes(40)) +
            MakeCrl(*own_.root(), own_.key(), kNow + absl::Minutes(2))->ToPem()}) {
    Write(crl_, next);
    EXPECT_TRUE(files->Poll());
    EXPECT_THAT(files->Rejected(), IsEmpty());
  }
}

// Roots of one name have each their own lists: a newer one of the other makes none good.
TEST_F(TrustFilesTest, TakesNoOlderListOfARootBesideANewerOneOfItsName) {
  const TestCa other("td", kNow);
  const auto both = [&](absl::Duration own, absl::Duration others) {
    return MakeCrl(*own_.root(), own_.key(), kNow + own)->ToPem() +
           MakeCrl(*other.root(), other.key(), kNow + others)->ToPem();
  };
  Write(bundle_, partner_.root()->ToPem());
  Write(crl_, both(-absl::Minutes(10), absl::ZeroDuration()));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files, Create());
  ASSERT_THAT(files->SetRoots("td", {own_.root(), other.root()}), IsOk());
  const auto expect_refused = [&] {
    Write(crl_, both(-absl::Minutes(20), absl::Minutes(1)));
    EXPECT_FALSE(files->Poll());
    EXPECT_THAT(files->Rejected(), ElementsAre(HasSubstr("which is newer")));
  };
  expect_refused();
  // Also where it does not matter who has signed one.
  files->SetJudge("td", [](const std::vector<RevocationListPtr>&) { return absl::OkStatus(); });
  expect_refused();
  // Nor is one too old because the other's is newer.
  Write(crl_, both(-absl::Minutes(9), absl::Minutes(1)));
  EXPECT_TRUE(files->Poll());
}

// A partner that is at odds with himself costs himself: his certificates are refused, and it is
// named. What he mends in one file after the other comes into force once it goes together.
TEST_F(TrustFilesTest, BeginsWithListsOfAPartnerThatItsRootsHaveNotSigned) {
  const std::string of_root = crl_ + ".root", of_middle = crl_ + ".middle";
  const TestCa middle = partner_.MakeIntermediate(partner_.IntermediateSpec()),
               next_middle = next_.MakeIntermediate(next_.IntermediateSpec());
  const auto list = [](const TestCa& ca) {
    return MakeCrl(*ca.certificate(), ca.key(), kNow)->ToPem();
  };
  Write(bundle_, next_.root()->ToPem());
  Write(of_root, list(partner_));
  Write(of_middle, list(middle));
  TrustFiles::Options options;
  options.bundles = {{"partner", bundle_}};
  options.crls = {{"partner", of_middle}, {"partner", of_root}};
  options.metrics_prefix = "test";
  options.clock = &clock_;
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files,
                       TrustFiles::Create(options, &log_, &metrics_));
  EXPECT_THAT(files->RevocationListsOf("partner"), SizeIs(2));
  EXPECT_THAT(files->Rejected(), IsEmpty());
  EXPECT_THAT(files->WrongInForce(), SizeIs(2));
  Write(of_middle, list(next_middle));
  EXPECT_FALSE(files->Poll());
  Write(of_root, list(next_));
  EXPECT_TRUE(files->Poll());
  EXPECT_FALSE(files->Poll());
  EXPECT_THAT(files->Rejected(), IsEmpty());
  EXPECT_THAT(files->WrongInForce(), IsEmpty());
  EXPECT_TRUE(files->RevocationListsOf("partner")[0]->IsIssuedBy(*next_middle.certificate()));
}

// As a directory that is swapped brings them: none is rejected because of what another one said.
TEST_F(TrustFilesTest, TakesFilesThatGoTogetherAtOnceWhicheverIsReadFirst) {
  const std::string of_root = crl_ + ".root", of_middle = crl_ + ".middle";
  const TestCa middle = own_.MakeIntermediate(own_.IntermediateSpec()), other("td", kNow),
               other_middle = other.MakeIntermediate(other.IntermediateSpec());
  const auto list = [](const TestCa& ca) {
    return MakeCrl(*ca.certificate(), ca.key(), kNow)->ToPem();
  };
  Write(of_middle, list(middle));
  Write(of_root, list(own_));
  TrustFiles::Options options;
  options.crls = {{"td", of_middle}, {"td", of_root}};
  options.metrics_prefix = "test";
  options.clock = &clock_;
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files,
                       TrustFiles::Create(options, &log_, &metrics_));
  ASSERT_THAT(files->SetRoots("td", {own_.root(), other.root()}), IsOk());
  // Each needs the other.
  files->SetJudge("td", [&](const std::vector<RevocationListPtr>& lists) {
    const bool good =
        lists[0]->IsIssuedBy(*middle.certificate()) == lists[1]->IsIssuedBy(*own_.certificate());
    return good ? absl::OkStatus() : absl::InvalidArgumentError("they are at odds");
  });
  const auto counted = [&](const std::string& result, int times) {
    return HasSubstr(
        absl::StrCat("test_trust_file_reads_total{result=\"", result, "\"} ", times, "\n"));
  };
  Write(of_middle, list(other_middle));
  Write(of_root, list(other));
  EXPECT_TRUE(files->Poll());
  EXPECT_THAT(files->Rejected(), IsEmpty());
  EXPECT_THAT(metrics_.RenderPrometheusText(), AllOf(counted("rejected", 0), counted("ok", 4)));
  // One that comes late is waited for, and the first is rejected once.
  Write(of_middle, list(middle));
  EXPECT_FALSE(files->Poll());
  EXPECT_FALSE(files->Poll());
  EXPECT_THAT(files->Rejected(), ElementsAre(HasSubstr("at odds")));
  Write(of_root, list(own_));
  EXPECT_TRUE(files->Poll());
  EXPECT_THAT(metrics_.RenderPrometheusText(), AllOf(counted("rejected", 1), counted("ok", 6)));
  // A bad one keeps no good one back.
  Write(of_middle, MakeCrl(*middle.certificate(), middle.key(), kNow - absl::Minutes(1))->ToPem());
  Write(of_root, MakeCrl(*own_.root(), own_.key(), kNow + absl::Seconds(1))->ToPem());
  EXPECT_TRUE(files->Poll());
  EXPECT_THAT(files->Rejected(), ElementsAre(AllOf(HasSubstr(of_middle), HasSubstr("newer"))));
  EXPECT_EQ(files->RevocationListsOf("td")[1]->this_update(),
            kNow - absl::Minutes(59) - absl::Seconds(59));
}

TEST_F(TrustFilesTest, TakesTwoThatAreGoodOnlyTogetherWhateverTheThirdIsLike) {
  const std::string of_root = crl_ + ".root", of_middle = crl_ + ".middle", third = crl_ + ".third";
  const TestCa middle = own_.MakeIntermediate(own_.IntermediateSpec()), other("td", kNow),
               other_middle = other.MakeIntermediate(other.IntermediateSpec()),
               apart("apart", kNow);
  const auto list = [](const TestCa& ca, absl::Duration later = absl::ZeroDuration()) {
    return MakeCrl(*ca.certificate(), ca.key(), kNow + later)->ToPem();
  };
  Write(of_middle, list(middle));
  Write(of_root, list(own_));
  const std::string good = list(apart);
  Write(third, good);
  TrustFiles::Options options;
  options.crls = {{"td", of_middle}, {"td", third}, {"td", of_root}};
  options.metrics_prefix = "test";
  options.clock = &clock_;
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<TrustFiles> files,
                       TrustFiles::Create(options, &log_, &metrics_));
  ASSERT_THAT(files->SetRoots("td", {own_.root(), other.root()}), IsOk());
  files->SetJudge("td", [&](const std::vector<RevocationListPtr>& lists) {
    const bool agree =
        lists[0]->IsIssuedBy(*middle.certificate()) == lists[2]->IsIssuedBy(*own_.certificate()) &&
        lists[1]->IsIssuedBy(*apart.certificate());
    return agree ? absl::OkStatus() : absl::InvalidArgumentError("they are at odds");
  });
  const auto expect_two_of = [&](const TestCa& root, const std::string& wrong) {
    EXPECT_TRUE(files->Poll());
    EXPECT_THAT(files->Rejected(), ElementsAre(AllOf(HasSubstr(third), HasSubstr(wrong))));
    EXPECT_TRUE(files->RevocationListsOf("td")[2]->IsIssuedBy(*root.certificate()));
  };
  // For a reason of its own.
  Write(of_middle, list(other_middle));
  Write(third, list(apart, absl::Hours(3)));
  Write(of_root, list(other));
  expect_two_of(other, "begins at");
  // As somebody judges who does not say whose fault it is.
  Write(of_middle, list(middle));
  Write(third, list(partner_));
  Write(of_root, list(own_));
  expect_two_of(own_, "at odds");
  EXPECT_FALSE(files->Poll());
  Write(third, good);
  EXPECT_FALSE(files->Poll()) << "it is what was in force all the time";
  EXPECT_THAT(files->Rejected(), IsEmpty());
}

}  // namespace
}  // namespace byrnie
