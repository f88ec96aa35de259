#ifndef BYRNIE_DEPLOY_REDIRECT_NETWORK_SET_H_
#define BYRNIE_DEPLOY_REDIRECT_NETWORK_SET_H_

#include <string>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/strings/string_view.h"

namespace byrnie {

// Networks of both families, as matches of packets. However many there are, a packet is looked up
// in one set. A value.
class NetworkSet {
 public:
  // `address` has 16 bytes, or 4 where `ipv6` is false, and no bits beyond `prefix`.
  void Add(bool ipv6, const unsigned char* address, int prefix);

  // Adds all of `other`.
  void Add(const NetworkSet& other);
  // Whether every address of `other` is in it.
  bool Covers(const NetworkSet& other) const;

  // The matches of a destination in any of the networks, at most one of each family, as nft lists
  // them: "ip daddr 10.0.0.0/8", "ip daddr { 10.0.0.0/8, 192.0.2.7 }", "meta nfproto ipv4".
  std::vector<std::string> Matches() const;

 private:
  struct Range {
    absl::uint128 first, last;
  };

  static std::vector<Range> Merged(std::vector<Range> ranges, bool neighbours);
  static bool Covers(std::vector<Range> ranges, const std::vector<Range>& other);
  static void AddMatch(bool ipv6, std::vector<Range> ranges, std::vector<std::string>* matches);

  std::vector<Range> ipv4_, ipv6_;
};

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_NETWORK_SET_H_
