#ifndef BYRNIE_CONTROLPLANE_STORE_SINGLE_PROCESS_ELECTION_H_
#define BYRNIE_CONTROLPLANE_STORE_SINGLE_PROCESS_ELECTION_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "controlplane/store/store.h"

namespace byrnie {

// The election of a store that has one process: it leads, as long as it stands.
class SingleProcessElection final : public StoreElection {
 public:
  explicit SingleProcessElection(absl::string_view name) : key_(absl::StrCat("elections/", name)) {}

  // Nobody writes that key, so the condition always holds.
  absl::optional<StoreCondition> Leading() const override { return StoreCondition{key_, 0}; }

 private:
  const std::string key_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_STORE_SINGLE_PROCESS_ELECTION_H_
