// 1 000 agents and one authority that moves to its next root, three times in a row, in virtual
// time: whether any two of them ever fail to shake hands, however their connections, their
// processes and the authority's come and go meanwhile.
//
// Real are the rotation (RootRotation, with its record, its gates and its keys), what it knows of
// the fleet (AgentTable, CertificateHolders, TrustBundleSource, ConnectedFleet), and when an agent
// renews (RenewalSchedule). A certificate is the name of its root here, and a handshake is the
// question whether each end trusts the other's root and both certificates are valid.

#include "controlplane/trust/root_rotation.h"

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "certagent/renewal_schedule.h"
#include "common/base/testing/fake_clock.h"
#include "common/identity/trust_bundle.h"
#include "controlplane/agents/agent_table.h"
#include "controlplane/ca/trust_bundle_source.h"
#include "controlplane/trust/connected_fleet.h"
#include "controlplane/trust/testing/memory_trust_store.h"
#include "gtest/gtest.h"

namespace byrnie {
namespace {

constexpr int kAgents = 1000;
constexpr int kHandshakesPerSecond = 50;
constexpr absl::Duration kLife = absl::Minutes(10);
constexpr absl::Duration kStep = absl::Seconds(1);

class Mesh {
 public:
  explicit Mesh(uint32_t seed) : engine_(seed) {
    StartControlPlane();
    for (int i = 0; i < kAgents; ++i) {
      agents_.push_back(Agent{*SpiffeId::Parse(absl::StrCat("spiffe://cluster.local/agent/", i)),
                              RenewalSchedule([this] { return Random(); })});
      Issue(&agents_.back());
      Connect(&agents_.back());
    }
  }

  // A process that is killed forgets all but the store.
  void StartControlPlane() {
    for (Agent& agent : agents_) Disconnect(&agent);
    fleet_ = nullptr;
    rotation_ = nullptr;
    table_ = std::make_unique<AgentTable>();
    auto rotation = RootRotation::LoadOrCreate(
        &store_, RootRotation::Options{"cluster.local", kLife, KeySeal()}, &clock_, &logger_);
    ASSERT_TRUE(rotation.ok()) << rotation.status();
    rotation_ = *std::move(rotation);
    version_ += 1000;
    bundles_ = std::make_unique<TrustBundleSource>(Bundles(), version_);
    fleet_ = std::make_unique<ConnectedFleet>(table_.get(), bundles_.get(), nullptr,
                                              clock_.WallNow(), kLife);
    rotation_->Start(fleet_.get(), [this] { changed_ = true; });
  }

  void RunFor(absl::Duration time) {
    for (const absl::Time end = clock_.WallNow() + time; clock_.WallNow() < end;) Step();
  }
  // Until no rotation is under way; false when that takes longer than `limit`.
  bool RunUntilRotated(absl::Duration limit) {
    const absl::Time end = clock_.WallNow() + limit;
    while (rotation_->Status().step.has_value()) {
      if (clock_.WallNow() >= end) return false;
      Step();
    }
    return true;
  }

  RootRotation* rotation() { return rotation_.get(); }
  absl::Time now() const { return clock_.WallNow(); }
  int failed() const { return failed_; }
  int handshakes() const { return handshakes_; }
  int expired() const { return expired_; }
  // Agents whose processes stand still: they neither hear nor renew, and their proxies go on.
  void Stop(int index, bool stopped) { agents_[index].stopped = stopped; }
  // Its proxy stands still, or hears nothing: it goes on with the certificate and the bundles that
  // it has, while the agent renews.
  void StopProxy(int index, bool stopped) {
    agents_[index].proxy_stopped = stopped;
    if (!stopped) PutInForce(&agents_[index]);
  }
  const std::string& id(int index) const { return agents_[index].id.text(); }
  // Of so many agents the connection comes and goes.
  void set_churn(double churn) { churn_ = churn; }

 private:
  struct Agent {
    SpiffeId id;
    RenewalSchedule schedule;
    std::string root = "", serial = "";
    absl::Time not_after = absl::InfinitePast();
    // What the proxy has in force.
    struct {
      std::string root = "";
      absl::Time not_after = absl::InfinitePast();
      std::set<std::string> trusted = {};
    } used = {};
    uint64_t version = 0;
    std::string address = "";  // Empty: not connected.
    absl::Time hears_at = absl::InfiniteFuture();
    absl::Time back_at = absl::InfinitePast();
    bool stopped = false, proxy_stopped = false;
  };

  double Random() { return uniform_(engine_); }
  RenewalSchedule::Instant Instant() const { return {clock_.WallNow(), clock_.MonotonicNow()}; }

  TrustBundleSet Bundles() const {
    auto set = TrustBundleSet::Create({{"cluster.local", {rotation_->snapshot()->roots}}});
    EXPECT_TRUE(set.ok()) << set.status();
    return *std::move(set);
  }

  void Step() {
    clock_.Advance(kStep);
    EXPECT_TRUE(rotation_->Refresh().ok());
    if (std::exchange(changed_, false)) bundles_->Publish(Bundles());
    for (Agent& agent : agents_) Live(&agent);
    for (int i = 0; i < kHandshakesPerSecond; ++i) Handshake();
  }

  void Live(Agent* agent) {
    if (agent->stopped) return;
    const absl::Time now = clock_.WallNow();
    if (agent->address.empty()) {
      if (now >= agent->back_at) Connect(agent);
    } else if (Random() < churn_) {
      Disconnect(agent);
      agent->back_at = now + absl::Minutes(4) * Random();
    }
    if (agent->address.empty()) return;
    if (agent->version != bundles_->current().version &&
        agent->hears_at == absl::InfiniteFuture()) {
      agent->hears_at = now + absl::Seconds(3) * Random();
    }
    if (now >= agent->hears_at) TakeBundles(agent);
    if (agent->schedule.Due(Instant())) {
      Issue(agent);
      // As an agent does: its streams move to a connection with the new certificate.
      Disconnect(agent);
      Connect(agent);
    }
  }

  void TakeBundles(Agent* agent) {
    agent->hears_at = absl::InfiniteFuture();
    const TrustBundleSource::Versioned current = bundles_->current();
    agent->version = current.version;
    if (!agent->proxy_stopped) PutInForce(agent);
    if (rotation_->snapshot()->tainted_root == agent->root) {
      agent->schedule.HastenWithin(Instant(), absl::Seconds(20));
    }
  }

  // And says so.
  void PutInForce(Agent* agent) {
    agent->used.root = agent->root;
    agent->used.not_after = agent->not_after;
    agent->used.trusted.clear();
    for (const CertificatePtr& root : bundles_->bundles()->Find("cluster.local")->roots) {
      agent->used.trusted.insert(root->FingerprintHex());
    }
    if (agent->address.empty()) return;
    table_->OnBundleAcknowledged(agent->id, agent->address, bundles_->current().version);
  }

  void Issue(Agent* agent) {
    const absl::Time now = clock_.WallNow();
    const std::string replaced = agent->serial;
    agent->root = rotation_->snapshot()->signer->root_id();
    agent->serial = absl::StrCat(++serials_);
    agent->not_after = now + kLife;
    table_->holders()->OnIssued({agent->serial, agent->id.text(), agent->root, now,
                                 agent->not_after, 0, bundles_->NewestRoot("cluster.local")},
                                replaced);
    agent->schedule.OnIssued(Instant(), agent->not_after,
                             RenewalWindow{now + kLife * 0.4, now + kLife * 0.6});
    // Bundles come with the answer.
    TakeBundles(agent);
  }

  void Connect(Agent* agent) {
    const absl::Time now = clock_.WallNow();
    // With one that has ended the agent begins with its token again.
    if (agent->not_after <= now) {
      ++expired_;
      Issue(agent);
    }
    agent->address = absl::StrCat("10.0.0.1:", ++connections_);
    agent->hears_at = now + absl::Seconds(3) * Random();
    table_->OnStreamOpened(agent->id, agent->address,
                           {agent->serial, agent->not_after, "", agent->root}, now);
  }

  void Disconnect(Agent* agent) {
    if (agent->address.empty()) return;
    table_->OnStreamClosed(agent->id, agent->address, clock_.WallNow());
    agent->address.clear();
    agent->hears_at = absl::InfiniteFuture();
  }

  void Handshake() {
    const Agent& client = agents_[static_cast<size_t>(Random() * kAgents)];
    const Agent& server = agents_[static_cast<size_t>(Random() * kAgents)];
    const absl::Time now = clock_.WallNow();
    // Of an agent that was away for too long no handshake is expected.
    if (client.used.not_after <= now || server.used.not_after <= now) return;
    ++handshakes_;
    if (client.used.trusted.count(server.used.root) == 0 ||
        server.used.trusted.count(client.used.root) == 0) {
      ++failed_;
    }
  }

  FakeClock clock_;
  Logger logger_{2, Logger::Format::kText, LogLevel::kError};
  std::mt19937_64 engine_;
  std::uniform_real_distribution<double> uniform_{0, 1};
  MemoryTrustStore store_;
  std::unique_ptr<AgentTable> table_;
  std::unique_ptr<RootRotation> rotation_;
  std::unique_ptr<TrustBundleSource> bundles_;
  std::unique_ptr<ConnectedFleet> fleet_;
  std::vector<Agent> agents_;
  bool changed_ = false;
  double churn_ = 0;
  uint64_t version_ = 0, serials_ = 0, connections_ = 0;
  int failed_ = 0, handshakes_ = 0, expired_ = 0;
};

RootRotation::Request Automatic() { return {absl::nullopt, {}, "the simulation", false}; }

TEST(RootRotationSimulation, ThreeRotationsInARowFailNoHandshake) {
  Mesh mesh(1);
  std::set<std::string> roots = {mesh.rotation()->snapshot()->signer->root_id()};
  const absl::Time begin = mesh.now();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(mesh.rotation()->Rotate(Automatic()).ok());
    ASSERT_TRUE(mesh.RunUntilRotated(absl::Minutes(30))) << mesh.rotation()->Status().consequence;
    roots.insert(mesh.rotation()->snapshot()->signer->root_id());
  }
  mesh.RunFor(absl::Minutes(1));
  EXPECT_EQ(roots.size(), 4u);
  EXPECT_EQ(mesh.failed(), 0);
  std::cout << "nothing in the way: " << mesh.now() - begin << " for three rotations, "
            << mesh.handshakes() << " handshakes, " << mesh.failed() << " failed\n";
}

TEST(RootRotationSimulation, ConnectionsThatComeAndGoFailNoHandshake) {
  for (uint32_t seed = 2; seed < 4; ++seed) {
    Mesh mesh(seed);
    mesh.set_churn(0.002);  // A connection lasts eight minutes, a break two.
    mesh.RunFor(absl::Minutes(5));
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(mesh.rotation()->Rotate(Automatic()).ok());
      ASSERT_TRUE(mesh.RunUntilRotated(absl::Hours(2)));
    }
    EXPECT_EQ(mesh.failed(), 0) << seed;
  }
}

TEST(RootRotationSimulation, AnAuthorityKilledAtEveryStepFailsNoHandshake) {
  Mesh mesh(7);
  mesh.set_churn(0.002);
  const absl::Time begin = mesh.now();
  int kills = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(mesh.rotation()->Rotate(Automatic()).ok());
    absl::optional<RotationStep> seen;
    for (int seconds = 0; mesh.rotation()->Status().step.has_value(); ++seconds) {
      ASSERT_LT(seconds, 7200);
      const absl::optional<RotationStep> step = mesh.rotation()->Status().step;
      if (step != seen) {
        seen = step;
        ++kills;
        mesh.StartControlPlane();
      }
      mesh.RunFor(kStep);
    }
  }
  EXPECT_GE(kills, 12);
  EXPECT_EQ(mesh.failed(), 0);
  std::cout << "killed " << kills << " times: " << mesh.now() - begin << " for three rotations, "
            << mesh.handshakes() << " handshakes, " << mesh.failed() << " failed\n";
}

TEST(RootRotationSimulation, AnAgentThatStandsStillIsWaitedForByName) {
  Mesh mesh(8);
  mesh.RunFor(absl::Minutes(1));
  mesh.Stop(17, true);
  ASSERT_TRUE(mesh.rotation()->Rotate(Automatic()).ok());
  mesh.RunFor(absl::Minutes(1));
  const RotationStatus status = mesh.rotation()->Status();
  EXPECT_EQ(status.step, RotationStep::kDistributed);
  bool named = false;
  for (const RotationBlocker& blocker : status.blockers) {
    if (blocker.agent == mesh.id(17)) named = true;
    EXPECT_TRUE(blocker.agent == mesh.id(17) || blocker.agent == kUnknownAgents) << blocker.agent;
  }
  EXPECT_TRUE(named);
  mesh.Stop(17, false);
  ASSERT_TRUE(mesh.RunUntilRotated(absl::Hours(1)));
  EXPECT_EQ(mesh.failed(), 0);
}

// Its agent renews, comes back with a new connection each time, and may come and go as well.
TEST(RootRotationSimulation, AnAgentWhoseProxyStandsStillIsWaitedForByName) {
  for (const double churn : {0.0, 0.01}) {
    Mesh mesh(10);
    mesh.set_churn(churn);
    mesh.RunFor(kLife + absl::Minutes(1));
    mesh.StopProxy(17, true);
    ASSERT_TRUE(mesh.rotation()->Rotate(Automatic()).ok());
    // Within that its certificate of before is valid.
    for (const absl::Time end = mesh.now() + kLife / 3; mesh.now() < end;) {
      mesh.RunFor(kStep);
      const RotationStatus status = mesh.rotation()->Status();
      ASSERT_LE(status.step, RotationStep::kDistributed);
      if (status.step != RotationStep::kDistributed) continue;
      bool named = false;
      for (const RotationBlocker& blocker : status.blockers) named |= blocker.agent == mesh.id(17);
      ASSERT_TRUE(named);
    }
    mesh.StopProxy(17, false);
    ASSERT_TRUE(mesh.RunUntilRotated(absl::Hours(1)));
    EXPECT_EQ(mesh.failed(), 0);
  }
}

TEST(RootRotationSimulation, WhatAProxyThatStandsStillUsesIsWaitedForBeforeTheRootGoes) {
  Mesh mesh(11);
  mesh.RunFor(kLife + absl::Minutes(1));
  const auto move = [&mesh](RotationMove wanted) {
    return mesh.rotation()->Rotate({wanted, {}, "the simulation", false}).status();
  };
  for (RotationMove wanted :
       {RotationMove::kPrepare, RotationMove::kDistribute, RotationMove::kActivate}) {
    ASSERT_TRUE(move(wanted).ok());
    mesh.RunFor(absl::Minutes(1));
  }
  mesh.StopProxy(17, true);
  ASSERT_TRUE(move(RotationMove::kTaint).ok());
  mesh.RunFor(absl::Minutes(1));
  const absl::Status kept_back = move(RotationMove::kRevoke);
  EXPECT_NE(kept_back.message().find(mesh.id(17)), absl::string_view::npos) << kept_back;
  mesh.StopProxy(17, false);
  EXPECT_TRUE(move(RotationMove::kRevoke).ok());
  mesh.RunFor(absl::Minutes(1));
  EXPECT_EQ(mesh.failed(), 0);
}

TEST(RootRotationSimulation, RollbacksFromEveryStepFailNoHandshake) {
  Mesh mesh(9);
  mesh.set_churn(0.002);
  const auto move = [&mesh](RotationMove wanted) {
    const RootRotation::Request request = {wanted, {}, "the simulation", false};
    // As somebody does who asks again.
    for (int i = 0; i < 7200; ++i) {
      if (mesh.rotation()->Rotate(request).ok()) return true;
      mesh.RunFor(kStep);
    }
    return false;
  };
  const std::string root = mesh.rotation()->snapshot()->signer->root_id();
  const std::vector<RotationMove> forward = {RotationMove::kPrepare, RotationMove::kDistribute,
                                             RotationMove::kActivate, RotationMove::kTaint};
  for (size_t depth = 1; depth <= forward.size(); ++depth) {
    for (size_t i = 0; i < depth; ++i) {
      ASSERT_TRUE(move(forward[i]));
      mesh.RunFor(absl::Minutes(2));
    }
    while (mesh.rotation()->Status().step.has_value()) {
      ASSERT_TRUE(move(RotationMove::kRollback));
      mesh.RunFor(absl::Minutes(2));
    }
    EXPECT_EQ(mesh.rotation()->snapshot()->signer->root_id(), root);
    EXPECT_EQ(mesh.rotation()->snapshot()->roots.size(), 1u);
  }
  EXPECT_EQ(mesh.failed(), 0);
}

}  // namespace
}  // namespace byrnie
