#ifndef BYRNIE_PROXY_AGENT_CLIENT_H_
#define BYRNIE_PROXY_AGENT_CLIENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "byrnie/link/v1/link.pb.h"
#include "common/event/event_loop.h"
#include "common/link/frame_stream.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "common/telemetry/log.h"

namespace byrnie {

// The proxy's end of the link to its agent (byrnie.link.v1). Lives on the control loop.
//
// States: waiting (for the next attempt) → greeting (connected, the agent's Hello is awaited) → up
// → waiting. A lost link is made again with a growing delay, for ever; nothing that the agent said
// before is forgotten by losing it. Signatures asked for while the link is down wait for it, each
// until its own deadline.
class AgentClient final : public FrameStream::Delegate {
 public:
  // What the agent says. A status that is not OK rejects the update: the agent is told why and the
  // receiver keeps what it had.
  class Delegate {
   public:
    virtual ~Delegate() = default;
    virtual absl::Status OnIdentityUpdate(const link::v1::IdentityUpdate& update) = 0;
    virtual absl::Status OnPolicyUpdate(const link::v1::PolicyUpdate& update) = 0;
    virtual absl::Status OnAddressUpdate(const link::v1::AddressUpdate& update) = 0;
    virtual void OnResolveResponse(uint64_t id, link::v1::ResolveResponse::Result result) = 0;
    virtual void OnFlowAck(bool tell_all) = 0;
    virtual void OnFlowsLost() = 0;
    virtual void OnLinkUp() = 0;
    virtual void OnLinkDown(const absl::Status& why) = 0;
  };

  // Makes one connection to the agent, its identity checked. Must not block.
  using Dialer = absl::AnyInvocable<absl::StatusOr<std::unique_ptr<ByteStream>>()>;

  struct Options {
    // Delay before the first and between later attempts; doubles up to the maximum, starts again
    // once the link was up.
    absl::Duration min_backoff = absl::Milliseconds(50);
    absl::Duration max_backoff = absl::Seconds(2);
    // From the connection to the agent's Hello.
    absl::Duration hello_timeout = absl::Seconds(5);
    // How long a signature may take, waiting for the link included: a handshake's deadline.
    absl::Duration sign_timeout = absl::Seconds(5);
    // Signatures not answered yet; more are refused.
    size_t max_pending_signs = 1024;
  };

  AgentClient(EventLoop* loop, Dialer dialer, const Options& options, Delegate* delegate,
              Logger* logger);
  AgentClient(const AgentClient&) = delete;
  AgentClient& operator=(const AgentClient&) = delete;
  // Signatures still waited for are not called back.
  ~AgentClient() override;

  // Begins connecting, in the next turn. Once.
  void Start();

  bool up() const { return state_ == State::kUp; }

  // Runs once, never inside the call: the signature, PermissionDenied when the agent refuses,
  // Unavailable when it cannot be asked in time or too many wait already.
  using SignCallback = absl::AnyInvocable<void(absl::StatusOr<std::string> signature)>;
  void Sign(absl::string_view leaf_fingerprint_hex, uint16_t scheme, std::string input,
            SignCallback done);

  // Asks what `address` is, with `refresh` also the control plane; the answer arrives as
  // OnResolveResponse. Unavailable while the link is down.
  absl::Status SendResolve(uint64_t id, const IpAddress& address, bool refresh);

  // Tells of connections; answered by OnFlowAck. Unavailable while the link is down.
  absl::Status SendFlows(const link::v1::FlowReport& report);

 private:
  enum class State { kWaiting, kGreeting, kUp };
  struct PendingSign {
    link::v1::ProxyMessage request;
    absl::Duration deadline;
    SignCallback done;
  };

  void OnFrame(absl::string_view payload) override;
  void OnClosed(const absl::Status& status) override;

  void Connect();
  void OnConnectTimer();
  void LinkLost(const absl::Status& why);
  absl::Status Send(const link::v1::ProxyMessage& message);
  absl::Status HandleMessage(const link::v1::AgentMessage& message);
  absl::Status HandleHello(const link::v1::AgentHello& hello);
  void HandleSignResponse(const link::v1::SignResponse& response);
  void SendAck(link::v1::Ack ack, const absl::Status& status);
  void ExpireSigns();
  void ArmSignTimer();

  EventLoop* const loop_;  // Not owned.
  Dialer dialer_;
  const Options options_;
  Delegate* const delegate_;  // Not owned.
  Logger* const logger_;      // Not owned.
  State state_ = State::kWaiting;
  absl::Duration backoff_;
  // The last reason logged, so that an agent that is away for long does not fill the log.
  std::string last_failure_;
  std::unique_ptr<FrameStream> frames_;
  // Ascending ids are ascending deadlines: each gets the same time.
  std::map<uint64_t, PendingSign> pending_signs_;
  uint64_t next_sign_id_ = 1;
  std::unique_ptr<EventLoop::Timer> connect_timer_;
  std::unique_ptr<EventLoop::Timer> sign_timer_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_AGENT_CLIENT_H_
