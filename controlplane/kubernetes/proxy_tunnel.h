#ifndef BYRNIE_CONTROLPLANE_KUBERNETES_PROXY_TUNNEL_H_
#define BYRNIE_CONTROLPLANE_KUBERNETES_PROXY_TUNNEL_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/event/event_loop.h"
#include "common/http/http_response_parser.h"
#include "common/net/byte_stream.h"
#include "controlplane/kubernetes/http_proxy.h"

namespace byrnie {

// Asks an HTTP proxy at the other end of a stream to pass on to a target what comes next (RFC 9110
// section 9.3.6), and gives the stream back when it does. Lives on one loop. Destroying it gives
// up, with the stream.
class ProxyTunnel final : public ByteStream::Observer {
 public:
  static constexpr absl::Duration kTimeout = absl::Seconds(15);

  // Once, in a later turn than the call that made it, and not within a call of the stream.
  // Unavailable, or PermissionDenied when the proxy wants to know who asks or does not let them.
  using Callback = absl::AnyInvocable<void(absl::StatusOr<std::unique_ptr<ByteStream>>)>;

  // `target` is HOST:PORT. The pointers outlive it.
  ProxyTunnel(EventLoop* loop, const HttpProxy& proxy, const std::string& target,
              std::unique_ptr<ByteStream> stream, Callback done);
  ProxyTunnel(const ProxyTunnel&) = delete;
  ProxyTunnel& operator=(const ProxyTunnel&) = delete;
  ~ProxyTunnel() override;

  void OnReadable() override { Run(); }
  void OnWritable() override { Run(); }

 private:
  void Run();
  // True while there is more to read.
  bool ReadSome();
  void OnHead(const HttpResponseHead& head);
  void Finish(absl::Status status);

  const std::string proxy_, target_;
  std::unique_ptr<ByteStream> stream_;
  Callback done_;
  std::unique_ptr<EventLoop::Deferred> begin_, tell_;
  std::unique_ptr<EventLoop::Timer> timeout_;
  std::string output_;
  size_t sent_ = 0;
  std::string input_;
  HttpResponseParser parser_;
  bool finished_ = false;
  absl::Status status_;
};

}  // namespace byrnie

#endif  // BYRNIE_CONTROLPLANE_KUBERNETES_PROXY_TUNNEL_H_
