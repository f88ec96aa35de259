#ifndef BYRNIE_PROXY_REMOTE_SIGNER_H_
#define BYRNIE_PROXY_REMOTE_SIGNER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "common/event/event_loop.h"
#include "common/telemetry/metrics.h"
#include "common/tls/signer.h"
#include "proxy/agent_client.h"

namespace byrnie {

// Signs with the key that the agent holds, over the link: from the worker's loop to the control
// loop, to the agent and back. Thread-safe. The control loop outlives every call.
class RemoteSigner final : public Signer {
 public:
  // `seconds` takes the time from the worker's question to the answer in the control loop.
  RemoteSigner(EventLoop* control_loop, Histogram* seconds, Counter* signed_count,
               Counter* failed_count);

  // Who is asked; null fails every signature with Unavailable. On the control loop.
  void set_agent(AgentClient* agent) { agent_ = agent; }

  void Sign(absl::string_view leaf_fingerprint_hex, uint16_t scheme, std::string input,
            EventLoop* loop, Callback done) override;

 private:
  EventLoop* const control_loop_;  // Not owned.
  Histogram* const seconds_;       // Not owned.
  Counter* const signed_;          // Not owned.
  Counter* const failed_;          // Not owned.
  AgentClient* agent_ = nullptr;   // Not owned.
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_REMOTE_SIGNER_H_
