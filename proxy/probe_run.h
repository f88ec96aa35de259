#ifndef BYRNIE_PROXY_PROBE_RUN_H_
#define BYRNIE_PROXY_PROBE_RUN_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "common/event/event_loop.h"
#include "common/http/http_client_connection.h"
#include "common/http2/http2_call.h"
#include "common/net/socket_address.h"
#include "common/probe/app_probes.h"
#include "proxy/probe_dialer.h"
#include "proxy/proxy_config.h"

namespace byrnie {

// What a probe has come to. A value.
struct ProbeOutcome {
  bool passes = false;
  // What to answer the kubelet with: the application's own status where it is an error, 503 and 504
  // where it gave no answer.
  int status = 503;
  std::string reason;  // "it answered 200"
};

// One health probe of the application, made as the kubelet would make it: a connection; or GET with
// the probe's path and headers, which passes with 200 to 399; redirects are followed on the host,
// where one that leads elsewhere passes; of the body 10 KiB are read and nothing is kept; no
// certificate is verified; or a call of gRPC's health checking, without TLS, which passes with
// SERVING. All within the probe's timeout. Lives on one loop.
//
// Connecting → asking → (a redirect: connecting again) → done.
class ProbeRun {
 public:
  // Of redirects, as the kubelet's client counts them.
  static constexpr int kMaxRedirects = 9;
  static constexpr size_t kMaxBody = 10 * 1024;

  // Asks `host`, an address of the pod. All pointers outlive this. `done` runs once, in a later
  // turn, and must not destroy this.
  ProbeRun(EventLoop* loop, ProbeDialer* dialer, const ProxyConfig* config, const AppProbe* probe,
           const IpAddress& host, std::string user_agent,
           absl::AnyInvocable<void(ProbeOutcome)> done);
  ProbeRun(const ProbeRun&) = delete;
  ProbeRun& operator=(const ProbeRun&) = delete;

 private:
  void Dial();
  void OnConnected(absl::StatusOr<std::unique_ptr<ByteStream>> stream);
  std::string Request() const;
  void Call(std::unique_ptr<ByteStream> stream);
  void OnCalled(const absl::StatusOr<Http2Call::Answer>& answer);
  void OnResponse(absl::StatusOr<HttpClientConnection::Response> response);
  void OnRedirect(const HttpResponseHead& head);
  void OnStatus(int status);
  void Fail(const absl::Status& why);
  void Finish(ProbeOutcome result);

  EventLoop* const loop_;            // Not owned.
  ProbeDialer* const dialer_;        // Not owned.
  const ProxyConfig* const config_;  // Not owned.
  const AppProbe* const probe_;      // Not owned.
  const IpAddress host_;
  const std::string user_agent_;
  absl::AnyInvocable<void(ProbeOutcome)> done_;
  ProbeUrl url_;
  int redirects_ = 0;
  std::unique_ptr<EventLoop::Timer> deadline_;
  std::unique_ptr<EventLoop::Deferred> dial_;
  std::unique_ptr<ProbeDialer::Attempt> attempt_;
  std::unique_ptr<HttpClientConnection> http_;
  std::unique_ptr<Http2Call> call_;
};

}  // namespace byrnie

#endif  // BYRNIE_PROXY_PROBE_RUN_H_
