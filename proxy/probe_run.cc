#include "proxy/probe_run.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "common/probe/grpc_health.h"

namespace byrnie {
namespace {

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

ProbeRun::ProbeRun(EventLoop* loop, ProbeDialer* dialer, const ProxyConfig* config,
                   const AppProbe* probe, const IpAddress& host, std::string user_agent,
                   absl::AnyInvocable<void(ProbeOutcome)> done)
    : loop_(loop),
      dialer_(dialer),
      config_(config),
      probe_(probe),
      host_(host),
      user_agent_(std::move(user_agent)),
      done_(std::move(done)),
      url_(probe->url),
      deadline_(loop->NewTimer([this] {
        Fail(absl::DeadlineExceededError(
            absl::StrCat("no answer within ", absl::FormatDuration(probe_->timeout))));
      })),
      dial_(loop->NewDeferred([this] { Dial(); })) {
  deadline_->Schedule(probe->timeout);
  dial_->Schedule();
}

void ProbeRun::Dial() {
  http_.reset();
  attempt_ = dialer_->Dial(SocketAddress(host_, url_.port), url_.https, probe_->timeout,
                           [this](absl::StatusOr<std::unique_ptr<ByteStream>> stream) {
                             OnConnected(std::move(stream));
                           });
}

void ProbeRun::OnConnected(absl::StatusOr<std::unique_ptr<ByteStream>> stream) {
  if (!stream.ok()) return Fail(stream.status());
  if (probe_->action == AppProbe::Action::kConnect) {
    (*stream)->ShutdownWrite();  // An end, not a reset.
    return Finish({true, 200, "it took the connection"});
  }
  if (probe_->action == AppProbe::Action::kGrpc) return Call(*std::move(stream));
  http_ = std::make_unique<HttpClientConnection>(loop_, *std::move(stream));
  HttpClientConnection::Limits limits;
  // The deadline of the whole comes first.
  limits.timeout = limits.head_timeout = probe_->timeout + absl::Seconds(1);
  limits.max_body = kMaxBody;
  limits.discard_body = true;
  HttpClientConnection::Handlers handlers;
  handlers.on_done = [this](absl::StatusOr<HttpClientConnection::Response> response) {
    OnResponse(std::move(response));
  };
  http_->Send(Request(), limits, std::move(handlers));
}

std::string ProbeRun::Request() const {
  std::string host, fields;
  absl::optional<std::string> agent, accept;
  for (const auto& [name, value] : probe_->headers) {
    if (absl::EqualsIgnoreCase(name, "Host")) {
      if (host.empty()) host = value;
    } else if (absl::EqualsIgnoreCase(name, "User-Agent")) {
      agent = value;
    } else if (absl::EqualsIgnoreCase(name, "Accept")) {
      accept = value;
    } else {
      absl::StrAppend(&fields, name, ": ", value, "\r\n");
    }
  }
  // The name that the probe asks for is that of where it asks; elsewhere there is another one.
  const bool there = url_.port == probe_->url.port && url_.https == probe_->url.https;
  if (host.empty() || !there) host = SocketAddress(host_, url_.port).ToString();
  std::string request = absl::StrCat("GET ", url_.target, " HTTP/1.1\r\nHost: ", host, "\r\n");
  // Left out where they are said to be empty, as the kubelet does.
  const std::string shown = agent.value_or(user_agent_), wanted = accept.value_or("*/*");
  if (!shown.empty()) absl::StrAppend(&request, "User-Agent: ", shown, "\r\n");
  if (!wanted.empty()) absl::StrAppend(&request, "Accept: ", wanted, "\r\n");
  absl::StrAppend(&request, fields, "Connection: close\r\n\r\n");
  return request;
}

void ProbeRun::Call(std::unique_ptr<ByteStream> stream) {
  Http2Call::Request request;
  request.authority = SocketAddress(host_, url_.port).ToString();
  request.path = std::string(kGrpcHealthPath);
  request.headers = {{"te", "trailers"},
                     {"content-type", "application/grpc"},
                     {"user-agent", user_agent_},
                     {"grpc-timeout", absl::StrCat(absl::ToInt64Seconds(probe_->timeout), "S")}};
  request.body = GrpcHealthRequest(probe_->service);
  call_ = std::make_unique<Http2Call>(
      loop_, std::move(stream), request,
      [this](const absl::StatusOr<Http2Call::Answer>& answer) { OnCalled(answer); });
}

void ProbeRun::OnCalled(const absl::StatusOr<Http2Call::Answer>& answer) {
  if (!answer.ok()) return Fail(answer.status());
  if (answer->status != 200) {
    // Only a server that speaks gRPC passes.
    return Finish({false, answer->status >= 400 && answer->status <= 599 ? answer->status : 502,
                   absl::StrCat("it answered ", answer->status)});
  }
  // What it says beside the number is not handed on.
  int code = -1;
  if (!absl::SimpleAtoi(answer->Header("grpc-status"), &code)) {
    return Fail(absl::InvalidArgumentError("it does not answer as gRPC does"));
  }
  if (code != 0) {
    return Fail(absl::FailedPreconditionError(absl::StrCat("it answered with gRPC's code ", code)));
  }
  const absl::Status health = CheckGrpcHealthResponse(answer->body);
  if (!health.ok()) return Fail(health);
  Finish({true, 200, "it is SERVING"});
}

void ProbeRun::OnResponse(absl::StatusOr<HttpClientConnection::Response> response) {
  if (!response.ok()) return Fail(response.status());
  const HttpResponseHead& head = response->head;
  if (IsRedirect(head.status) && !head.location.empty()) return OnRedirect(head);
  OnStatus(head.status);
}

void ProbeRun::OnRedirect(const HttpResponseHead& head) {
  if (redirects_ == kMaxRedirects) {
    return Fail(absl::FailedPreconditionError("it redirects too often"));
  }
  const absl::StatusOr<absl::optional<ProbeUrl>> to = FollowRedirect(url_, host_, head.location);
  if (!to.ok()) return Fail(to.status());
  if (!to->has_value()) return OnStatus(head.status);
  // Not to our own pages: what they answer says nothing about the application.
  if (config_->IsSidecarPort((*to)->port)) {
    return Fail(absl::PermissionDeniedError("a redirect to a port of the sidecar"));
  }
  ++redirects_;
  url_ = **to;
  dial_->Schedule();  // The connection is not destroyed in its own call.
}

void ProbeRun::OnStatus(int status) {
  ProbeOutcome result;
  result.reason = absl::StrCat("it answered ", status);
  result.passes = status >= 200 && status < 400;
  if (result.passes) {
    result.status = 200;
  } else {
    result.status = status >= 400 && status <= 599 ? status : 502;
  }
  Finish(std::move(result));
}

void ProbeRun::Fail(const absl::Status& why) {
  Finish({false, absl::IsDeadlineExceeded(why) ? 504 : 503, std::string(why.message())});
}

void ProbeRun::Finish(ProbeOutcome result) {
  if (done_ == nullptr) return;
  deadline_->Cancel();
  dial_->Cancel();
  absl::AnyInvocable<void(ProbeOutcome)> done = std::move(done_);
  done_ = nullptr;
  done(std::move(result));
}

}  // namespace byrnie
