#ifndef BYRNIE_COMMON_TLS_TESTING_HOSTILE_CHAINS_H_
#define BYRNIE_COMMON_TLS_TESTING_HOSTILE_CHAINS_H_

#include <string>
#include <vector>

#include "common/tls/testing/test_ca.h"

namespace byrnie {

// What a peer may send to make us pay: as DER, leaf first, before anybody has looked at it.
struct HostileChain {
  std::string name;
  std::vector<std::string> certificates;
};

// Chains beyond every limit, and chains that use up a limit as dearly as possible. Each is to be
// refused, or to cost little where it is good.
std::vector<HostileChain> HostileChains(const TestCa& ca);

}  // namespace byrnie

#endif  // BYRNIE_COMMON_TLS_TESTING_HOSTILE_CHAINS_H_
