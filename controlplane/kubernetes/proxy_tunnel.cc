#include "controlplane/kubernetes/proxy_tunnel.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace byrnie {
namespace {

std::string Request(const HttpProxy& proxy, const std::string& target) {
  std::string text = absl::StrCat("CONNECT ", target, " HTTP/1.1\r\nHost: ", target, "\r\n");
  if (!proxy.credentials.empty()) {
    absl::StrAppend(&text, "Proxy-Authorization: Basic ",
                    absl::Base64Escape(proxy.credentials.view()), "\r\n");
  }
  return absl::StrCat(text, "\r\n");
}

}  // namespace

ProxyTunnel::ProxyTunnel(EventLoop* loop, const HttpProxy& proxy, const std::string& target,
                         std::unique_ptr<ByteStream> stream, Callback done)
    : proxy_(proxy.Authority()),
      target_(target),
      stream_(std::move(stream)),
      done_(std::move(done)),
      begin_(loop->NewDeferred([this] { Run(); })),
      tell_(loop->NewDeferred([this] {
        Callback done = std::move(done_);
        if (!status_.ok()) return done(status_);
        done(std::move(stream_));
      })),
      timeout_(loop->NewTimer([this] {
        Finish(absl::UnavailableError(
            absl::StrCat("it does not answer within ", absl::FormatDuration(kTimeout))));
      })),
      output_(Request(proxy, target)) {
  timeout_->Schedule(kTimeout);
  stream_->SetObserver(this);
  begin_->Schedule();
}

ProxyTunnel::~ProxyTunnel() {
  WipeString(&output_);
  if (stream_ != nullptr) stream_->SetObserver(nullptr);
}

void ProxyTunnel::Run() {
  while (!finished_ && sent_ < output_.size()) {
    const IoResult result = stream_->Write(absl::MakeConstSpan(
        reinterpret_cast<const uint8_t*>(output_.data()) + sent_, output_.size() - sent_));
    if (result.status == IoStatus::kError) return Finish(stream_->error());
    sent_ += result.bytes;
    if (result.status != IoStatus::kOk) break;
  }
  while (!finished_ && ReadSome()) {
  }
}

// A byte at a time: what comes behind the head is the target's, and its TLS's to read. There are a
// few hundred.
bool ProxyTunnel::ReadSome() {
  uint8_t byte = 0;
  const IoResult result = stream_->Read(absl::MakeSpan(&byte, 1));
  if (result.status == IoStatus::kEof) {
    Finish(absl::UnavailableError("it hangs up"));
  } else if (result.status == IoStatus::kError) {
    Finish(stream_->error());
  } else if (result.bytes == 1) {
    input_.push_back(static_cast<char>(byte));
    const HttpResponseParser::Result parsed = parser_.Feed(input_);
    input_.erase(0, parsed.consumed);
    if (parsed.state == HttpResponseParser::State::kError) {
      Finish(absl::UnavailableError("what it answers is no HTTP"));
    } else if (parser_.head() != nullptr) {
      OnHead(*parser_.head());
    }
  }
  return result.bytes == 1;
}

void ProxyTunnel::OnHead(const HttpResponseHead& head) {
  if (head.status / 100 == 2) return Finish(absl::OkStatus());
  const std::string answer = absl::StrCat("it answers ", head.status);
  if (head.status == 407) {
    return Finish(absl::PermissionDeniedError(
        absl::StrCat(answer, ": it wants to know who asks, http://USER:PASSWORD@HOST:PORT")));
  }
  Finish(head.status == 403 ? absl::PermissionDeniedError(answer) : absl::UnavailableError(answer));
}

void ProxyTunnel::Finish(absl::Status status) {
  if (finished_) return;
  finished_ = true;
  timeout_->Cancel();
  stream_->SetObserver(nullptr);
  if (!status.ok()) {
    status_ = absl::Status(status.code(), absl::StrCat("the proxy ", proxy_, ", asked for ",
                                                       target_, ": ", status.message()));
  }
  tell_->Schedule();
}

}  // namespace byrnie
