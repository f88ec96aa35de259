#ifndef BYRNIE_CONTROLPLANE_POLICY_ADDRESS_SET_H_
#define BYRNIE_CONTROLPLANE_POLICY_ADDRESS_SET_H_

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "istio/security/authorization.pb.h"

namespace byrnie {

// IP addresses, as bytes, of which there may be very many: as little of each as there is. A value.
class AddressSet {
 public:
  // Sort() is to follow before anything is asked.
  void Add(absl::string_view bytes);
  void Add(const AddressSet& other);
  void Sort();

  bool empty() const { return v4_.empty() && v6_.empty(); }
  // Before Sort() each counts as often as it was added.
  size_t size() const { return v4_.size() + v6_.size(); }
  bool has_v4() const { return !v4_.empty(); }
  bool has_v6() const { return !v6_.empty(); }
  // Whether some of them are in a block.
  bool AnyIn(const istio::security::Address& block) const;
  // Tells each, IPv4 first; the text is another one after the call.
  template <typename Tell>
  void ForEach(const Tell& tell) const {
    std::string bytes;
    for (const auto& one : v4_) tell(bytes.assign(one.begin(), one.end()));
    for (const auto& one : v6_) tell(bytes.assign(one.begin(), one.end()));
  }

 private:
  std::vector<std::array<unsigned char, 4>> v4_;
  std::vector<std::array<unsigned char, 16>> v6_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_POLICY_ADDRESS_SET_H_
