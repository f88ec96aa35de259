#ifndef BYRNIE_DEPLOY_REDIRECT_NFT_TEXT_H_
#define BYRNIE_DEPLOY_REDIRECT_NFT_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace byrnie {

// Pieces of a listing, spelled as nft spells them. Pure text.

using Rules = std::vector<std::string>;

inline constexpr absl::string_view kNotTcp = "meta l4proto != tcp";
inline constexpr absl::string_view kReset = "meta l4proto tcp reject with tcp reset";
// A reset carries nothing, and whoever gets it is to know that the connection is over.
inline constexpr absl::string_view kResetPasses = "tcp flags & rst == rst accept";
// Opens no connection.
inline constexpr absl::string_view kNoSyn = "tcp flags != syn / syn,ack";

// The bit of a packet's mark, and of its connection's, that takes it to the proxy in tproxy mode:
// the packets of inbound connections, and those the application sends to a client's address that
// the proxy has borrowed.
inline constexpr uint32_t kToProxyMark = 0x00020000;

// `mark` ("meta mark", "ct mark") has kToProxyMark, does not have it, and: gets it.
std::string ToProxy(absl::string_view mark);
std::string NotToProxy(absl::string_view mark);
std::string SetToProxy(absl::string_view mark);

// A match of a destination, for the packets that come back from it.
std::string AsSource(absl::string_view match);

std::string Chain(absl::string_view name, const Rules& rules);
std::string BaseChain(absl::string_view name, absl::string_view hook, absl::string_view policy,
                      const Rules& rules);

// Goes to `chain` with what matches one of `interfaces` and one of `matches`; an empty list matches
// everything.
void Goto(Rules& rules, absl::string_view interface_match,
          const std::vector<std::string>& interfaces, const std::vector<std::string>& matches,
          absl::string_view chain);

}  // namespace byrnie

#endif  // BYRNIE_DEPLOY_REDIRECT_NFT_TEXT_H_
