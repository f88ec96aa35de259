#ifndef BYRNIE_DEPLOY_REDIRECT_INTERCEPTION_H_
#define BYRNIE_DEPLOY_REDIRECT_INTERCEPTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "deploy/redirect/nft_session.h"
#include "deploy/redirect/policy_routing.h"
#include "deploy/redirect/ruleset.h"
#include "deploy/redirect/watch.h"

namespace byrnie {

// The rules and the routing of one set of options, in the network namespace the process is in.
// Lives on one thread.
class Interception final : public WatchedRules {
 public:
  // FailedPrecondition as NftSession::Create.
  static absl::StatusOr<std::unique_ptr<Interception>> Create(Ruleset ruleset);

  // False: the kernel's connection tracking has no zones, and the rules are those without.
  bool zones() const { return zones_; }

  // All of it in place, or nothing changed; opens again what Close has closed.
  absl::Status Apply() override;
  // Nothing of it left.
  absl::Status Remove();
  // Empty when all is in place and nothing is closed; else a line for each difference. Cheap as
  // long as nobody changes nf_tables after it has been empty.
  absl::StatusOr<std::string> Difference() override;
  absl::Status Close() override;
  // A copy of the rules that nobody else can change while this process runs. FailedPrecondition
  // when the kernel knows no tables with an owner.
  absl::Status Hold() override;

 private:
  Interception(Ruleset ruleset, bool zones, NftSession nft, PolicyRouting routing)
      : ruleset_(std::move(ruleset)),
        zones_(zones),
        nft_(std::move(nft)),
        routing_(std::move(routing)) {}

  absl::StatusOr<std::string> RulesDifference();

  const Ruleset ruleset_;
  const bool zones_;
  NftSession nft_;
  PolicyRouting routing_;
  absl::optional<uint32_t> generation_in_place_;  // Of nf_tables, when all was as it should be.
  absl::optional<NftSession> holder_;             // While a copy is held.
};

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_INTERCEPTION_H_
