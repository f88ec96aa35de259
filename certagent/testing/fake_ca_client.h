#ifndef BYRNIE_CERTAGENT_TESTING_FAKE_CA_CLIENT_H_
#define BYRNIE_CERTAGENT_TESTING_FAKE_CA_CLIENT_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "certagent/ca_client.h"
#include "common/base/check.h"
#include "common/crypto/certificate_builder.h"
#include "common/crypto/csr.h"
#include "common/crypto/private_key.h"
#include "common/event/event_loop.h"

namespace byrnie {

// An authority in memory. Answers in the next turn, as its public members say.
class FakeCaClient final : public CaClient {
 public:
  struct Call {
    bool with_identity;
    absl::Duration ttl;
    absl::Time at;
  };

  // Its clock is the loop's, moved by `ahead`.
  FakeCaClient(EventLoop* loop, std::string trust_domain)
      : loop_(loop), trust_domain_(std::move(trust_domain)), root_(MakeRoot()) {}

  // How it answers.
  std::string spiffe_id = "spiffe://cluster.local/ns/demo/sa/client";
  absl::Duration lifetime = absl::Hours(1);
  absl::Duration back_dating = absl::Seconds(10);
  absl::Status failure;              // Not OK: every call fails with it.
  bool refuse_identity = false;      // Only the token is accepted.
  bool certify_another_key = false;  // Answers a key nobody asked for.
  bool sign_with_unknown_root = false;
  bool silent = false;   // Keeps calls until Answer().
  absl::Duration ahead;  // Of its clock before the loop's.
  absl::optional<RenewalWindow> window;
  absl::optional<absl::StatusOr<TrustBundleUpdate>> bundles_in_answer;

  // What it was asked.
  std::vector<Call> calls;
  std::vector<uint64_t> acknowledged;
  int watches = 0;

  const Certificate& root() const { return *root_.certificate; }
  const PrivateKey& root_key() const { return *root_.key; }
  TrustBundleSet RootBundle() const { return BundleOf({root_.certificate}); }
  TrustBundleUpdate Update(uint64_t version) const { return {version, RootBundle()}; }
  // Takes a new root; what was issued before does not lead to it.
  void ReplaceRoot() { root_ = MakeRoot(); }
  void SendBundles(absl::StatusOr<TrustBundleUpdate> update) { on_bundles_(std::move(update)); }
  void AnswerKept() {
    silent = false;
    for (auto& kept : std::exchange(kept_, {})) Post(std::move(kept.first), std::move(kept.second));
  }

  void Issue(std::string csr_der, absl::Duration ttl, ClientIdentityPtr identity,
             IssueCallback done) override {
    calls.push_back({identity != nullptr, ttl, loop_->WallNow()});
    absl::StatusOr<IssuedCertificate> answer = Certify(csr_der);
    if (!failure.ok()) answer = failure;
    if (refuse_identity && identity != nullptr) {
      answer = absl::UnauthenticatedError("unknown certificate");
    }
    if (silent) {
      kept_.emplace_back(std::move(answer), std::move(done));
    } else {
      Post(std::move(answer), std::move(done));
    }
  }
  void WatchTrustBundles(ClientIdentityPtr, BundleCallback on_update) override {
    ++watches;
    on_bundles_ = std::move(on_update);
  }
  void AcknowledgeTrustBundles(uint64_t version) override { acknowledged.push_back(version); }

 private:
  struct Root {
    std::shared_ptr<const PrivateKey> key;
    CertificatePtr certificate;
  };

  static std::shared_ptr<const PrivateKey> NewKey() {
    absl::StatusOr<std::shared_ptr<const PrivateKey>> key = PrivateKey::Generate();
    CHECK_OK(key);
    return *key;
  }

  Root MakeRoot() const {
    Root root;
    root.key = NewKey();
    CertificateSpec spec;
    spec.common_name = "test root";
    spec.not_before = loop_->WallNow() - absl::Hours(24);
    spec.not_after = loop_->WallNow() + absl::Hours(24 * 365);
    spec.is_ca = true;
    absl::StatusOr<CertificatePtr> certificate =
        BuildCertificate(spec, root.key->PublicKeyDer(), nullptr, *root.key);
    CHECK_OK(certificate);
    root.certificate = *certificate;
    return root;
  }

  TrustBundleSet BundleOf(std::vector<CertificatePtr> roots) const {
    absl::StatusOr<TrustBundleSet> set =
        TrustBundleSet::Create({{trust_domain_, {std::move(roots)}}});
    CHECK_OK(set);
    return *set;
  }

  IssuedCertificate Certify(const std::string& csr_der) {
    absl::StatusOr<std::string> public_key = VerifyCsr(csr_der);
    CHECK_OK(public_key);
    if (certify_another_key) public_key = NewKey()->PublicKeyDer();
    CertificateSpec spec;
    spec.uri_sans = {spiffe_id};
    spec.not_before = loop_->WallNow() + ahead - back_dating;
    spec.not_after = loop_->WallNow() + ahead + lifetime;
    const Root issuer = sign_with_unknown_root ? MakeRoot() : root_;
    absl::StatusOr<CertificatePtr> leaf =
        BuildCertificate(spec, *public_key, issuer.certificate.get(), *issuer.key);
    CHECK_OK(leaf);
    IssuedCertificate issued;
    issued.chain = {*leaf};
    issued.renewal_window = window;
    issued.trust_bundles = bundles_in_answer;
    issued.authority_time = loop_->WallNow() + ahead;
    return issued;
  }

  void Post(absl::StatusOr<IssuedCertificate> answer, IssueCallback done) {
    loop_->Post([answer = std::move(answer), done = std::move(done)]() mutable {
      done(std::move(answer));
    });
  }

  EventLoop* const loop_;  // Not owned.
  const std::string trust_domain_;
  Root root_;
  BundleCallback on_bundles_;
  std::deque<std::pair<absl::StatusOr<IssuedCertificate>, IssueCallback>> kept_;
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_TESTING_FAKE_CA_CLIENT_H_
