#include "controlplane/health/health_watch.h"

#include <string>
#include <utility>
#include <vector>

#include "controlplane/ca/signing_authority.h"

namespace byrnie {

constexpr absl::Duration HealthWatch::kInterval;

HealthWatch::HealthWatch(Sources sources, MetricRegistry* metrics)
    : s_(std::move(sources)), board_(metrics) {}

void HealthWatch::Start() {
  AskStore();
  LookAndTell();
  asking_ = std::make_unique<PeriodicThread>(kInterval, [this] { AskStore(); });
  looking_ = std::make_unique<PeriodicThread>(kInterval, [this] { LookAndTell(); });
}

void HealthWatch::Stop() {
  asking_ = nullptr;
  looking_ = nullptr;
}

void HealthWatch::AskStore() {
  StoreAnswers answers;
  const RootRotation* const rotation = s_.trust->rotation();
  if (rotation != nullptr) {
    answers.rotation = rotation->step().has_value() ? rotation->Status() : RotationStatus();
  }
  if (s_.fleet != nullptr) answers.peers = s_.fleet->Peers(s_.clock->WallNow());
  absl::MutexLock lock(&mu_);
  answers_ = std::move(answers);
}

void HealthWatch::LookAndTell() {
  const HealthFacts facts = Look();
  std::vector<std::string> others;
  if (facts.peers.has_value() && facts.peers->ok()) {
    for (const SharedFleet::Peer& peer : **facts.peers) {
      if (!peer.silent) others.push_back(peer.name);
    }
  } else if (facts.peers.has_value()) {
    // Not to be able to ask is no reason to say that there are none.
    others = board_.others();
  }
  board_.Set(JudgeHealth(facts), std::move(others));
}

HealthFacts HealthWatch::Look() const {
  HealthFacts facts;
  facts.name = s_.name;
  {
    absl::MutexLock lock(&mu_);
    facts.rotation = answers_.rotation;
    facts.peers = answers_.peers;
  }
  // A plugged CA does not depend on the store.
  if (s_.fleet != nullptr && s_.trust->rotation() != nullptr) {
    facts.issuing_left = s_.trust->issuing_left();
    facts.issues_without_store = s_.issues_without_store;
  }
  facts.now = s_.clock->WallNow();
  facts.reads = s_.store->reads();
  facts.writes = s_.store->writes();
  facts.unreadable_records = s_.unreadable->List();
  facts.issuance_log = s_.log->backlog();
  facts.issues = s_.trust->authority()->CheckIssues();
  const SigningAuthorityPtr signer = s_.trust->authority()->snapshot()->signer;
  facts.root = signer->root();
  facts.ca_not_before = signer->not_before();
  facts.ca_not_after = signer->not_after();
  facts.revocation_lists_state = s_.trust->ListsState();
  facts.issued_state = s_.trust->IssuedState();
  const TrustBundleSource::BundlesPtr bundles = s_.bundles->bundles();
  for (const auto& [trust_domain, bundle] : bundles->bundles()) {
    for (const RevocationListPtr& list : bundle.crls) {
      // Of a former CA: when it ends, so has what it is about.
      if (s_.trust->revocations()->IsOfOther(list)) continue;
      facts.revocation_lists.push_back({trust_domain, list->this_update(), list->next_update()});
    }
  }
  for (const StoredTrouble& trouble : s_.registry->troubles()) {
    facts.stored_troubles.emplace_back(trouble.why.message());
  }
  facts.cluster = s_.cluster();
  facts.input_files = s_.input_files();
  if (s_.bundle_file != nullptr) facts.bundle_file = s_.bundle_file->state();
  return facts;
}

}  // namespace byrnie
