#include "test/fleet/fleet_agent.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/identity/svid_verifier.h"

namespace byrnie {

FleetAgent::FleetAgent(EventLoop* loop, Options options, Logger* log)
    : loop_(loop),
      id_(options.id),
      custodian_(loop, &metrics_, KeyCustodian::Options()),
      ca_(loop, std::move(options.server), TokenFile(options.token_path, "")) {
  Renewer::Options renewal;
  renewal.trust_domain = std::string(id_.trust_domain());
  renewal.expected_id = id_;
  renewal.bundles = std::move(options.bundles);
  renewal.random = [this] { return absl::Uniform<double>(random_, 0, 1); };
  renewal.has_proxy = [this] { return mute_; };
  renewer_ = std::make_unique<Renewer>(loop, &ca_, &custodian_, log, &metrics_, std::move(renewal),
                                       [this](const IdentitySnapshotPtr& snapshot, bool rotated) {
                                         OnPublished(snapshot, rotated);
                                       });
  renewer_->Start();
}

void FleetAgent::OnPublished(const IdentitySnapshotPtr& snapshot, bool rotated) {
  std::string roots;
  for (const CertificatePtr& root : snapshot->bundles().Find(id_.trust_domain())->roots) {
    absl::StrAppend(&roots, root->ToPem());
  }
  ca_.SetRoots(std::move(roots));
  if (!rotated) return;
  ca_.WatchTrustBundles(renewer_->identity(), [this](absl::StatusOr<TrustBundleUpdate> update) {
    renewer_->OnTrustBundles(std::move(update));
  });
}

absl::Status FleetAgent::IsGoodFor(const FleetAgent& verifier) const {
  return VerifySvid(renewer_->snapshot()->chain(), verifier.renewer_->snapshot()->bundles(),
                    loop_->WallNow())
      .status();
}

void FleetAgent::SetMute(bool mute) {
  mute_ = mute;
  if (!mute_) renewer_->OnProxyGone();
}

}  // namespace byrnie
