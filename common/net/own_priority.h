#ifndef BYRNIE_COMMON_NET_OWN_PRIORITY_H_
#define BYRNIE_COMMON_NET_OWN_PRIORITY_H_

namespace byrnie {

// SO_PRIORITY of the connections that the proxy opens to others. The redirect rules know their
// packets by it, also where a socket has no owner any more, and have connection tracking keep them
// apart from the applications': see docs/decisions/0065-zones-of-connection-tracking.md.
//
// Any process may set it, and one that does has no more than that its connections are not kept
// apart. It leaves the pod with no packet, and by default queueing disciplines treat 4 as 0.
inline constexpr int kOwnPriority = 4;

}  // namespace byrnie

#endif  // BYRNIE_COMMON_NET_OWN_PRIORITY_H_
