#ifndef BYRNIE_PROXY_FLOW_MESSAGES_H_
#define BYRNIE_PROXY_FLOW_MESSAGES_H_

#include "byrnie/link/v1/link.pb.h"
#include "proxy/flow.h"

namespace byrnie {

// An edge as byrnie.link.v1 has it. Pure.
void ToLink(const Flow& flow, link::v1::FlowEdge* out);

}  // namespace byrnie

#endif  // BYRNIE_PROXY_FLOW_MESSAGES_H_
