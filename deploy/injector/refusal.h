#ifndef BYRNIE_DEPLOY_INJECTOR_REFUSAL_H_
#define BYRNIE_DEPLOY_INJECTOR_REFUSAL_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "deploy/injector/json.h"

namespace byrnie {

// Why a pod is not given a sidecar.
struct Refusal {
  enum class Kind {
    kNone,
    kOptedOut,  // Somebody says so.
    kCannot,    // It could not work, or would be no protection.
  };
  Kind kind = Kind::kNone;
  // With the remedy; empty for kNone.
  std::string why;
};

// The user of the agent and the proxy, whose traffic is not redirected.
inline constexpr int kSidecarUid = 1337;

// Judges a pod, or a pod template, without the injector's own containers and volumes, whose names
// are `ours` and `our_volumes`. InvalidArgument when byrnie.io/inject says neither true nor false.
absl::StatusOr<Refusal> JudgePod(const Json& pod, const std::set<std::string>& ours,
                                 const std::set<std::string>& our_volumes);

// Where a pod that gets a sidecar asks another mesh for one, too: what to do, or "". Whether that
// mesh's webhook heeds it nobody here can see; where it does, the pod is left with that one alone.
std::string AsksAnotherMesh(const Json& pod);

// Where a pod has ports of its node: what that means, or "".
std::string HostPortWarning(const Json& spec);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_INJECTOR_REFUSAL_H_
