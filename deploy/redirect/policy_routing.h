#ifndef BYRNIE_DEPLOY_REDIRECT_POLICY_ROUTING_H_
#define BYRNIE_DEPLOY_REDIRECT_POLICY_ROUTING_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/unique_fd.h"

namespace byrnie {

// The routing that tproxy mode needs in the network namespace the process is in: a rule that sends
// packets with kToProxyMark to a table of their own, and in that table one route that makes every
// address a local one. IPv4, and IPv6 where the namespace has it. Over rtnetlink; runs no other
// program. Lives on one thread.
class PolicyRouting {
 public:
  // Of the table and the rule; the numbers are the project's own port, so that a person who lists
  // them knows whose they are.
  static constexpr uint32_t kTable = 15006;
  static constexpr uint32_t kPriority = 15006;

  // FailedPrecondition: the kernel offers no rtnetlink.
  static absl::StatusOr<PolicyRouting> Create();

  // Puts all of it in place, or nothing: what this call has added is taken away again when
  // something fails. Internal with the kernel's words. `*added` says whether anything was missing.
  absl::Status Add(bool* added);
  // Takes all of it away; OK when there is nothing.
  absl::Status Remove();
  // Empty: as `wanted`. Otherwise lines as CompareListings makes them.
  absl::StatusOr<std::string> Difference(bool wanted);

 private:
  explicit PolicyRouting(UniqueFd fd) : fd_(std::move(fd)) {}

  // One change; `ignored` is the errno that means it was so already. True when it changed anything.
  absl::StatusOr<bool> Change(int family, bool rule, bool add);
  absl::StatusOr<bool> Has(int family, bool rule);

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_POLICY_ROUTING_H_
