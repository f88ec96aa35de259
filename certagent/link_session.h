#ifndef BYRNIE_CERTAGENT_LINK_SESSION_H_
#define BYRNIE_CERTAGENT_LINK_SESSION_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "byrnie/link/v1/link.pb.h"
#include "certagent/mesh_resources.h"
#include "common/event/event_loop.h"
#include "common/identity/identity_snapshot.h"
#include "common/link/frame_stream.h"
#include "common/net/byte_stream.h"
#include "common/net/socket_address.h"
#include "common/telemetry/log.h"

namespace byrnie {

// What a link needs from the rest of the agent. Lives on the agent's loop and outlives the link.
class LinkBackend {
 public:
  using ResolveCallback = absl::AnyInvocable<void(ResolveResult)>;
  using FlowCallback = absl::AnyInvocable<void(bool tell_all)>;

  virtual ~LinkBackend() = default;
  // Null: none yet.
  virtual IdentitySnapshotPtr Identity() = 0;
  // Absent: not known yet.
  virtual absl::optional<PolicySet> Policies() = 0;
  virtual std::vector<AddressPtr> Addresses() = 0;
  // The proxy has the identity of `generation` in force.
  virtual void OnIdentityInForce(uint64_t generation) = 0;
  // The proxy has gone, and will not say what it has in force.
  virtual void OnProxyGone() = 0;
  // As KeyCustodian::Sign.
  virtual absl::StatusOr<std::string> Sign(absl::string_view leaf_fingerprint_hex, uint32_t scheme,
                                           absl::string_view input) = 0;
  // `done` runs once, also inside the call, after the updates that belong to the answer. With
  // `refresh` what is known does not count: the control plane is asked.
  virtual void Resolve(const IpAddress& address, bool refresh, ResolveCallback done) = 0;
  // As FlowForwarder::Forward.
  virtual absl::Status ForwardFlows(const link::v1::FlowReport& report, FlowCallback done) = 0;
};

// One proxy's end of byrnie.link.v1 in the agent: says hello, sends the whole state once the proxy
// has said hello and each change from then on, answers questions. Lives on one loop. A message that
// the protocol does not allow, or none within 5 s of the start, ends the link.
class LinkSession final : public FrameStream::Delegate {
 public:
  static constexpr uint32_t kProtocolVersion = 1;
  static constexpr absl::Duration kHelloTimeout = absl::Seconds(5);
  // Questions without an answer yet; those beyond are answered "unavailable".
  static constexpr size_t kMaxPendingResolves = 4096;

  // What the proxy has said about the updates it was sent.
  struct Acknowledged {
    uint64_t identity_generation = 0;
    uint64_t policy_epoch = 0;
    // Why the latest rejected update was rejected; empty when it was followed by one in force.
    std::string error;
  };

  // Runs once, in a later turn; nothing after it. May destroy the session.
  using EndCallback = absl::AnyInvocable<void(const absl::Status&)>;

  LinkSession(EventLoop* loop, std::unique_ptr<ByteStream> transport, LinkBackend* backend,
              Logger* log, EndCallback on_end);
  LinkSession(const LinkSession&) = delete;
  LinkSession& operator=(const LinkSession&) = delete;
  ~LinkSession() override;

  // Pass on a change; nothing before the proxy's hello, which is answered with the state of that
  // time.
  void SendIdentity(const IdentitySnapshot& identity);
  void SendPolicies(const PolicySet& policies);
  void SendAddresses(const std::vector<AddressPtr>& upserts,
                     const std::vector<std::string>& removals);
  void SendFlowsLost();
  // Asks the proxy whether it is there. `done` runs once, in a later turn: false when it has not
  // answered within `patience`, or the session ends.
  void Ask(absl::Duration patience, absl::AnyInvocable<void(bool answered)> done);
  void Close(absl::Status why) { frames_.Close(std::move(why)); }

  // After the proxy's hello.
  bool open() const { return open_; }
  const std::string& proxy_release() const { return proxy_release_; }
  const Acknowledged& acknowledged() const { return acknowledged_; }

  void OnFrame(absl::string_view payload) override;
  void OnClosed(const absl::Status& status) override;

 private:
  struct Question {
    absl::AnyInvocable<void(bool)> done;
    std::unique_ptr<EventLoop::Timer> deadline;
  };

  void OnAnswer(uint64_t question, bool answered);
  void OnHello(const link::v1::ProxyHello& hello);
  void OnSignRequest(const link::v1::SignRequest& request);
  void OnResolveRequest(const link::v1::ResolveRequest& request);
  void OnAck(const link::v1::Ack& ack);
  void OnFlowReport(const link::v1::FlowReport& report);
  void SendAllAddresses();
  void SendAddressBatches(bool replace_all, const std::vector<AddressPtr>& upserts,
                          const std::vector<std::string>& removals);
  void SendMessage(const link::v1::AgentMessage& message);

  EventLoop* const loop_;       // Not owned.
  LinkBackend* const backend_;  // Not owned.
  Logger* const log_;           // Not owned.
  EndCallback on_end_;
  FrameStream frames_;
  const std::unique_ptr<EventLoop::Timer> hello_deadline_;
  bool open_ = false;
  bool addresses_sent_ = false;  // All that were known; from then on changes.
  std::string proxy_release_;
  Acknowledged acknowledged_;
  size_t pending_resolves_ = 0;
  // By number.
  std::map<uint64_t, Question> questions_;
  uint64_t last_question_ = 0;
  // Answers may come after this has gone; they hold it weakly.
  const std::shared_ptr<LinkSession*> self_ = std::make_shared<LinkSession*>(this);
};

}  // namespace byrnie

#endif  // BYRNIE_CERTAGENT_LINK_SESSION_H_
