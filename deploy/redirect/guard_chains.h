#ifndef BYRNIE_DEPLOY_REDIRECT_GUARD_CHAINS_H_
#define BYRNIE_DEPLOY_REDIRECT_GUARD_CHAINS_H_

#include <string>

#include "deploy/redirect/redirect_options.h"

namespace byrnie {

// The chains that close the ways around the proxy; see Ruleset. Pure text.

// What may come in and go out while the rules are as they should be.
std::string InboundGuard(const RedirectMatches& matches);
std::string OutboundGuard(const RedirectMatches& matches);

// Both directions while all TCP but the proxy's own is rejected.
std::string ClosedChains(const RedirectMatches& matches);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_GUARD_CHAINS_H_
